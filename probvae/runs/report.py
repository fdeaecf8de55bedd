"""The report of a run: one HTML page with all its numbers and figures, which needs no network."""

import base64
import json
import math
from typing import Any, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined

from probvae.criticism import Verdict

TITLES = {
    "curves": "Training",
    "reconstructions": "Reconstructions",
    "samples": "Samples",
    "interpolation": "Interpolation",
    "latent_map": "Map of the latent space",
    "pseudo_inputs": "Pseudo-inputs",
    "unit_use": "Information in each unit",
    "tails": "Reliability of log p(x)",
    "gaps": "Inference gap",
    "calibration": "Calibration of q(z|x)",
    "predictions": "Predictive checks",
}
START, END = "<!-- diagnosis -->", "<!-- end of diagnosis -->"
FIGURES_HEADING = "<h2>Figures</h2>"
EXPLANATION = (
    "All numbers are in nats per datum, and higher is better. The standard error (\u00b1) is that of "
    "the mean over test data. The ELBO and the importance-weighted bound are both at most log p(x) in "
    "expectation. With more particles, the second comes closer to it."
)


class Picture(NamedTuple):
    """A figure: its name, a caption on how to read it, and its PNG."""

    name: str
    caption: str
    png: bytes

    @property
    def title(self) -> str:
        """The title of the figure."""
        return TITLES.get(self.name, self.name.replace("_", " "))

    @property
    def base64(self) -> str:
        """The PNG in base64, as a page embeds it."""
        return base64.b64encode(self.png).decode()


class _Card(NamedTuple):
    """A number in large type."""

    label: str
    value: str
    details: str


def _environment() -> Environment:
    loader = PackageLoader("probvae.runs", "templates")
    return Environment(
        loader=loader,
        autoescape=True,  # names and docstrings of a model file may hold any character
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def render_report(config: dict[str, Any], metrics: dict[str, Any], pictures: list[Picture]) -> str:
    """Return the report as HTML.

    Args:
        config: the content of config.json.
        metrics: the content of metrics.json.
        pictures: the figures.
    """
    return (
        _environment()
        .get_template("report.html")
        .render(
            config=config,
            title=f"{config['model']['function']} on {config['data']['name']}",
            cards=_make_cards(metrics, config["data"]["sizes"]["test"]),
            explanations=_explain(metrics),
            data=_describe_data(config["data"]),
            pictures=pictures,
            origin=_list_origin(config, metrics),
        )
    )


def insert_diagnosis(page: str, verdict: Verdict, pictures: list[Picture]) -> str:
    """Return a report with the section of a diagnosis, which replaces that of an earlier one."""
    summary, *_ = str(verdict).splitlines()
    template = _environment().get_template("diagnosis.html")
    content = template.render(summary=summary, verdict=verdict, pictures=pictures)
    section = f"{START}\n{content}{END}\n"
    # The page may come from an earlier version of this package. So the section goes by two comments and
    # one heading, which never change, and the rest of the page stays as it is.
    before, marker, after = page.partition(START)
    if marker:
        return before + section + after.partition(f"{END}\n")[2]
    place = FIGURES_HEADING if FIGURES_HEADING in page else "</body>"
    return page.replace(place, f"{section}{place}", 1)


def _make_cards(metrics: dict[str, Any], num_test: int) -> list[_Card]:
    labels = {"test_log_prob": "test log p(x) \u2265", "test_elbo": "test ELBO"}
    return [
        _make_card(label, metrics[name], num_test) for name, label in labels.items() if metrics[name]
    ]


def _make_card(label: str, estimate: dict[str, Any], num_test: int) -> _Card:
    value = f"{_format(estimate['mean'])} \u00b1 {_format(estimate['standard_error'])} nats"
    is_subset = estimate["num_data"] < num_test
    rows = f" of {num_test:,}, drawn at random" if is_subset else " test data"
    details = (
        f"{estimate['num_data']:,}{rows}; {estimate['num_particles']:,} particles each; "
        f"Monte Carlo error {_format(estimate['monte_carlo_error'])} per datum"
    )
    return _Card(label, value, details)


def _format(value: float | None) -> str:
    return "not finite" if value is None or math.isnan(value) else f"{value:.2f}"


def _explain(metrics: dict[str, Any]) -> list[str]:
    """Return how to read the numbers, or why there are none, and which epoch they are from."""
    if metrics["test_elbo"] is None:
        paragraphs = [f"There is no test log p(x) and no ELBO: {metrics['no_log_prob']}"]
    else:
        paragraphs = [EXPLANATION]
    if epoch := metrics["fit"].get("kept"):
        paragraphs.append(f"Of {metrics['fit']['epochs']} epochs, {epoch}.")
    return paragraphs


def _describe_data(data: dict[str, Any]) -> str:
    sizes = ", ".join(f"{split} {n:,}" for split, n in data["sizes"].items())
    low, high = data["range"]
    shape = " x ".join(map(str, data["event_shape"]))
    return f"{data['description']}. {sizes}; shape {shape}; values in [{low:.4g}, {high:.4g}]."


def _list_origin(config: dict[str, Any], metrics: dict[str, Any]) -> dict[str, str]:
    training, fit = config["training"], metrics["fit"]
    since = f" since epoch {fit['since_epoch']}" if "since_epoch" in fit else ""
    return {
        "command": config["command"] or "none: made from Python",
        "date": config["date"],
        "model file": config["model"]["file"],
        "arguments": json.dumps(config["model"]["arguments"]),
        "objective": training["objective"],
        "optimizer": training["optimizer"],
        "epochs": f"{fit['epochs']} of {training['epochs']}, {fit['seconds']:.1f} s{since}",
        "batch size": str(training["batch_size"]),
        "seed": str(training["seed"]),
        **({"incidents": "; ".join(fit["incidents"])} if "incidents" in fit else {}),
        **({"evaluated at": training["asked_at"]} if "asked_at" in training else {}),
        "data": f"{config['data']['source']}, test data sha256 {config['data']['sha256'][:12]}",
        "versions": ", ".join(f"{name} {version}" for name, version in config["versions"].items()),
    }
