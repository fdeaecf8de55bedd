"""Question: can a VAE draw a given digit, and what happens if it has hardly seen one?

The conditional VAE of the gallery has the label as context (digits, binarised once), and draws x ~
p(x|z, label), z ~ p(z). A classifier that was trained on real digits judges the draws of each label.
The expected accuracy is its score on real test digits, within 0.1.

Then one label keeps 10 % of its training images. Expected: its draws get worse by two standard errors
over trainings, and those of other labels do not. The usual remedy is to repeat the rare images ten
times. The classifier does not see whether the VAE memorises them, so the table also shows how much
draws of a label differ from each other, relative to real images. A VAE without context raises an
error if you ask for a label, and draws the rare label as seldom as it occurs in the data.

    python -m inference.conditional [--seeds 3] [--epochs 100] [--rare 8] [--out figures] [--quick]

Reference: Sohn, Lee and Yan 2015. Kingma et al. 2014, arXiv:1406.5298.
"""

from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from inference.claims import HEAD, less, near, row
from inference.comparison import error, options
from models.conditional import conditional
from models.vae import vae
from probvae import Batch, Fitted, Variant, fit
from probvae.data import load
from probvae.plots.canvas import BLUE, GREY, ORANGE, new_figure, tidy

KEPT, REPEATS, LABELS, WITHIN = 10, 10, np.arange(10), 0.1  # one rare image in KEPT stays
FULL = 1197  # training digits


class Judgement(NamedTuple):
    """The fraction of draws of each label that the classifier assigns to it, and their spread."""

    accuracy: np.ndarray  # (10,)
    spread: np.ndarray  # (10,), over the real ones'


def one_hot(labels: np.ndarray) -> np.ndarray:
    """Return labels as context."""
    return np.eye(len(LABELS), dtype=np.float32)[labels]


def spread(x: np.ndarray) -> float:
    """Return the root mean square deviation of a pixel from its mean over images."""
    return float(np.sqrt(x.astype(float).var(0).mean()))


def fit_vae(variant: Variant, train, seed: int, epochs: int) -> Fitted:
    """Train from a key, with a number of steps that does not depend on the number of images."""
    n = len(train.x) if isinstance(train, Batch) else len(train)
    return fit(
        variant.vae,
        train,
        rng_key=jax.random.key(seed),
        epochs=round(epochs * FULL / n),
        batch_size=100,
        progress=False,
    )


def cases(data, rare: int) -> dict[str, Batch]:
    """Return three training sets: all, with 10 % of the rare label, and with these repeated."""
    labels = data.labels["train"]
    of_rare = np.flatnonzero(labels == rare)
    few = of_rare[::KEPT]
    rows = np.setdiff1d(np.arange(len(labels)), np.setdiff1d(of_rare, few))
    print(f"label {rare}: {len(of_rare)} training images, {len(few)} where it is rare\n")
    again = np.concatenate([rows, *[few] * (REPEATS - 1)])
    chosen = {"all labels": np.arange(len(labels)), "rare label": rows, "rare label repeated": again}
    return {name: Batch(data.train[at], one_hot(labels[at])) for name, at in chosen.items()}


class Classifier:
    """A support vector machine trained on real digits.

    ``real`` ``(10,)`` is its accuracy on each label's test images.
    """

    def __init__(self, data) -> None:
        from sklearn.svm import SVC

        self.machine = SVC().fit(data.train.reshape(len(data.train), -1), data.labels["train"])
        self.labels, self.called = data.labels["test"], self(data.test)
        self.real = np.array([(self.called == i)[self.labels == i].mean() for i in LABELS])

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Return labels."""
        return self.machine.predict(np.asarray(x).reshape(len(x), -1))

    def share(self, label: int, of_data: float) -> float:
        """Return the fraction of real images classified as a label with frequency ``of_data``."""
        wrongly = (self.called == label)[self.labels != label].mean()
        return float(of_data * self.real[label] + (1 - of_data) * wrongly)


def judge(fitted: Fitted, classifier, real: dict[int, np.ndarray], num: int, seed: int) -> Judgement:
    """Draw ``num`` images of each label, and classify them."""
    x = fitted.sample(num, rng_key=jax.random.key(1000 + seed), context=one_hot(LABELS)).x
    x = np.asarray(x).swapaxes(0, 1)  # label, draw
    called = [classifier(each) for each in x]
    right = np.array([(c == label).mean() for c, label in zip(called, LABELS, strict=True)])
    return Judgement(right, np.array([spread(each) / spread(real[i]) for i, each in enumerate(x)]))


def refusal_message(fitted: Fitted) -> str:
    """Return the error of a VAE without context when you ask for a label."""
    try:
        fitted.sample(1, rng_key=jax.random.key(0), context=one_hot(LABELS))
    except ValueError as training_sets:
        return str(training_sets)
    return ""


def table(results: dict[str, list[Judgement]], real: np.ndarray, rare: int) -> str:
    """Return accuracies by label (mean and s.e. over trainings), and the spread of the rare label."""
    heads = " | ".join(f"{name}" for name in results)
    lines = [f"| label | real test images | {heads} |", "| --- | --- |" + " --- |" * len(results)]
    for label in LABELS:
        each = [
            np.array([one.accuracy[label] for one in judgements]) for judgements in results.values()
        ]
        cells = " | ".join(f"{values.mean():.3f} +- {error(values):.3f}" for values in each)
        lines.append(f"| {label}{' (rare)' if label == rare else ''} | {real[label]:.3f} | {cells} |")
    each = [np.array([one.spread[rare] for one in judgements]) for judgements in results.values()]
    cells = " | ".join(f"{values.mean():.3f} +- {error(values):.3f}" for values in each)
    return "\n".join([*lines, f"| spread of the {rare}s, over that of real ones | 1.000 | {cells} |"])


def figure(results: dict[str, list[Judgement]], real: np.ndarray, rare: int, draws: dict):
    """Draw accuracies by label, and images of the rare label."""
    drawing = new_figure(height=3.8, width=10)
    a, b = drawing.subplots(1, 2, width_ratios=[1.3, 1])
    tidy(
        a,
        title="digits by label (bars: s.e. over trainings)",
        x="label asked for",
        y="share that a classifier calls by it",
    )
    for shift, colour, (name, judgements) in zip(
        (-0.2, 0, 0.2), (BLUE, ORANGE, GREY), results.items(), strict=True
    ):
        values = np.array([one.accuracy for one in judgements])
        errors = [error(column) for column in values.T]
        a.errorbar(LABELS + shift, values.mean(0), errors, fmt="o", ms=4, color=colour, label=name)
    a.plot(LABELS, real, "k_", ms=22, label="real test images")
    a.set(xticks=LABELS, ylim=(0, 1.05))
    a.legend(fontsize=8, frameon=False, loc="lower left")
    strips = [
        np.pad(each[:8], ((0, 0), (1, 1), (1, 1)), constant_values=0.5) for each in draws.values()
    ]
    b.imshow(np.concatenate([np.concatenate(list(s), axis=1) for s in strips]), cmap="Greys")
    tidy(b, title=f"draws x ~ p(x|z, {rare})", x="each column: a draw")
    b.set(xticks=[], yticks=np.arange(len(strips)) * 10 + 4.5)
    b.set_yticklabels(list(draws))
    return drawing


def main() -> None:
    """Train all models, print the tables, and draw the figure."""
    parser = options(__doc__, seeds=3, quick="two seeds, ten epochs, 100 draws")
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--rare", type=int, default=8, choices=range(10))
    parser.add_argument("--out", type=Path, default=Path("figures"))
    args = parser.parse_args()
    seeds, epochs, num = (2, 10, 100) if args.quick else (args.seeds, args.epochs, 300)
    data, rare = load("digits"), args.rare
    training_sets, variant = cases(data, rare), conditional(data.event_shape)
    classifier, by_label = Classifier(data), {i: data.train[data.labels["train"] == i] for i in LABELS}
    results: dict[str, list[Judgement]] = {}
    draws = {"real": by_label[rare]}
    for name, train in training_sets.items():
        fits = [fit_vae(variant, train, seed, epochs) for seed in range(seeds)]
        results[name] = [judge(one, classifier, by_label, num, seed) for seed, one in enumerate(fits)]
        draws[name] = draw(fits[0], rare)
    print(table(results, classifier.real, rare) + "\n\n" + HEAD)
    print("\n".join(claims(results, classifier.real, rare)))
    without = vae(data.event_shape, latent_dim=16, hidden=(300, 300))
    plain = [fit_vae(without, training_sets["rare label"].x, seed, epochs) for seed in range(seeds)]
    share = float(training_sets["rare label"].context[:, rare].mean())
    print("\n".join(plain_claims(plain, classifier, rare, share)))
    args.out.mkdir(parents=True, exist_ok=True)
    figure(results, classifier.real, rare, draws).savefig(args.out / "conditional.png", dpi=150)
    print(f"\nfigure: {args.out / 'conditional.png'}")


def draw(fitted: Fitted, label: int) -> np.ndarray:
    """Return eight draws of a label."""
    context = one_hot(LABELS[label : label + 1])
    return np.asarray(fitted.sample(8, rng_key=jax.random.key(5), context=context).x)[:, 0]


def claims(results: dict[str, list[Judgement]], real: np.ndarray, rare: int) -> list[str]:
    """Check whether samples have the requested label, and how much a rare label loses."""
    every, seldom, again = (
        np.array([one.accuracy for one in judgements]) for judgements in results.values()
    )
    spreads = [np.array([one.spread[rare] for one in judgements]) for judgements in results.values()]
    others = LABELS != rare
    mean = every.mean(1)
    return [
        near("all labels: accuracy over all", mean, real.mean(), WITHIN),
        less(f"rare label: accuracy of the {rare}s", seldom[:, rare], every[:, rare], expected=True),
        less(
            "rare label: accuracy of the others",
            seldom[:, others].mean(1),
            every[:, others].mean(1),
            expected=False,
        ),
        less(f"repeated: accuracy of the {rare}s", again[:, rare], every[:, rare], expected=False),
        less(f"repeated: spread of the {rare}s", spreads[2], spreads[0], expected=True),
    ]


def plain_claims(fits: list[Fitted], classifier, rare: int, share: float) -> list[str]:
    """Check that a VAE without context raises an error, and draws labels as often as the data."""
    words = refusal_message(fits[0]).split(".")[0]
    x = [one.sample(2000, rng_key=jax.random.key(7)).x for one in fits]
    judgements = [float((classifier(each) == rare).mean()) for each in x]
    claim = f"without context: share of its samples called {rare} (of its data: {share:.3f})"
    return [
        row(
            "without context: asked for a label",
            "refused by name",
            words,
            holds="context_shape" in words,
        ),
        near(claim, judgements, classifier.share(rare, share), 0.02),
    ]


if __name__ == "__main__":
    main()
