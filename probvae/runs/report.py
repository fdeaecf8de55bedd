"""The report of a run: one HTML page with all its numbers and figures, which needs no network."""

import json
import math
import re
from typing import Any, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from probvae import html
from probvae.criticism import Verdict
from probvae.criticism.diagnosis.diagnose import MIN_DATA
from probvae.plots.palette import DARK_VARIABLES, LIGHT_VARIABLES
from probvae.runs.drawing import Drawing

TITLES = {
    "curves": "Training",
    "reconstructions": "Reconstructions",
    "samples": "Samples",
    "associations": "Associations between columns",
    "column_checks": "Checks of each column",
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
VERDICT_START, VERDICT_END = "<!-- verdict -->", "<!-- end of verdict -->"
HEAD = re.compile(r"<style>.*?</style>(\s*<script>.*?</script>)?", re.DOTALL)
FIGURES_HEADING = "<h2>Figures</h2>"
EXPLANATION = (
    "All numbers are in nats per datum, and higher is better. The standard error (\u00b1) is that of "
    "the mean over test data. The ELBO and the importance-weighted bound are both at most log p(x) in "
    "expectation. With more particles, the importance-weighted one comes closer."
)


class Picture(NamedTuple):
    """A figure of a report: its name, a caption on how to read it, and its drawing.

    Without a drawing, the caption says in a sentence what there is to say.
    """

    name: str
    caption: str
    drawing: Drawing | None = None

    @property
    def title(self) -> str:
        """The title of the figure."""
        return TITLES.get(self.name, self.name.replace("_", " "))


class _Card(NamedTuple):
    """A number in large type."""

    label: str
    value: str
    details: str


def _environment() -> Environment:
    loader = PackageLoader("probvae.runs", "templates")
    environment = Environment(
        loader=loader,
        autoescape=True,  # names and docstrings of a model file may hold any character
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.globals["badge"] = html.badge
    return environment


def _render(template: str, **values: Any) -> Markup:
    return Markup(_environment().get_template(template).render(**values))


def _render_style() -> Markup:
    colours = {"light": Markup(LIGHT_VARIABLES), "dark": Markup(DARK_VARIABLES)}
    return _render("report.css", badges=Markup(html.BADGE_STYLE), **colours)


def render_report(
    config: dict[str, Any], metrics: dict[str, Any], pictures: list[Picture], *, command: str
) -> str:
    """Return the report as HTML.

    Args:
        config: the content of config.json.
        metrics: the content of metrics.json.
        pictures: the figures.
        command: the command that adds a diagnosis.
    """
    reason = _explain_no_diagnosis(config["data"]["sizes"], metrics)
    page = _render(
        "report.html",
        config=config,
        title=f"{config['model']['function']} on {config['data']['name']}",
        style=_render_style(),
        script=_render("report.js"),
        verdict=_render_verdict(None, command=command, reason=reason),
        cards=_make_cards(metrics, config["data"]["sizes"]["test"]),
        explanations=_explain(metrics),
        data=_describe_data(config["data"]),
        columns=_list_columns(config["data"]),
        pictures=pictures,
        origin=_list_origin(config, metrics),
    )
    return str(page)


def insert_diagnosis(page: str, verdict: Verdict, pictures: list[Picture]) -> str:
    """Return a report with its verdict at the top and the section of a diagnosis.

    They replace those of an earlier diagnosis.
    """
    summary, *_ = str(verdict).splitlines()
    content = _render("diagnosis.html", summary=summary, verdict=verdict, pictures=pictures)
    # The page may come from an earlier version of this package. So everything goes by comments and tags
    # that never change. The style is that of this version, and fits the pages of all earlier ones.
    head = f"<style>\n{_render_style()}</style>\n<script>\n{_render('report.js')}</script>"
    page = HEAD.sub(lambda _: head, page, count=1)
    banner = _render_verdict(verdict, summary=summary)
    page = _replace_part(page, banner, VERDICT_START, VERDICT_END, after="</h1>\n")
    section = f"{START}\n{content}{END}\n"
    before = FIGURES_HEADING if FIGURES_HEADING in page else "</body>"
    return _replace_part(page, section, START, END, before=before)


def _render_verdict(verdict: Verdict | None, **values: Any) -> Markup:
    content = _render("verdict.html", verdict=verdict, **values)
    return Markup(f"{VERDICT_START}\n{content}{VERDICT_END}\n")


def _replace_part(
    page: str, part: str, start: str, end: str, *, before: str = "", after: str = ""
) -> str:
    """Replace what lies between two comments. Without them, put the part at the place of a tag."""
    part = str(part)  # added to ``Markup``, the page would be escaped
    head, marker, tail = page.partition(start)
    if marker:
        return head + part + tail.partition(f"{end}\n")[2]
    place = before or after
    return page.replace(place, f"{after}{part}{before}", 1)


def _explain_no_diagnosis(sizes: dict[str, int], metrics: dict[str, Any]) -> str:
    """Return why a run cannot be diagnosed, or an empty text."""
    if reason := metrics.get("no_log_prob"):
        return reason
    held_out = sizes["test"] + sizes.get("valid", 0)
    if held_out < MIN_DATA:
        return f"A diagnosis needs at least {MIN_DATA} held-out data. This run has {held_out}."
    return ""


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
    if "columns" in data:
        return f"{data['description']}. {sizes}. Types and ranges are those of the training rows."
    low, high = data["range"]
    shape = " x ".join(map(str, data["event_shape"]))
    return f"{data['description']}. {sizes}; shape {shape}; values in [{low:.4g}, {high:.4g}]."


def _list_columns(data: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    """Return name, type, range or levels, and missing share of each column of a table."""
    return [
        (
            column["name"],
            column["type"],
            column["range"],
            "not modelled" if column["missing"] is None else f"{column['missing']:.1%}",
        )
        for column in data.get("columns", [])
    ]


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
