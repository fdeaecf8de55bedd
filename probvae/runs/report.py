"""A run's report: one HTML page that holds all it shows, and asks nothing of the network."""

import base64
import json
from html import escape
from typing import Any, NamedTuple

STYLE = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1rem 4rem; max-width: 56rem; background: #fff;
  color: #1d2129; font: 16px/1.55 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .25rem; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2.4rem 0 .6rem; padding-bottom: .3rem;
  border-bottom: 1px solid #d5d9e0; }
h3 { font-size: 1rem; margin: 1.8rem 0 .3rem; }
p { margin: .4rem 0; overflow-wrap: anywhere; }
.quiet { color: #5a6270; }
.numbers { display: flex; flex-wrap: wrap; gap: .8rem; margin: 1.2rem 0; }
.number { flex: 1 1 15rem; border: 1px solid #d5d9e0; border-radius: 6px; padding: .8rem 1rem; }
.number b { display: block; font-size: 1.5rem; line-height: 1.3; }
.number span { display: block; font-size: .85rem; color: #5a6270; }
pre { background: #f5f6f8; border-radius: 6px; padding: .8rem 1rem; margin: .6rem 0;
  overflow-x: auto; font: .85rem/1.5 ui-monospace, "DejaVu Sans Mono", Consolas, monospace; }
figure { margin: .6rem 0 0; }
figure img { display: block; width: 100%; height: auto; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
th, td { text-align: left; vertical-align: top; padding: .3rem .8rem .3rem 0;
  overflow-wrap: anywhere; border-bottom: 1px solid #eceef2; }
th { font-weight: 600; width: 11rem; }
.fault { color: #b3261e; } .limit { color: #9a5b00; } .note { color: #5a6270; }
@media (max-width: 36rem) { th { width: 7.5rem; } .number b { font-size: 1.3rem; } }
"""

TITLES = {
    "curves": "Training",
    "reconstructions": "Reconstructions",
    "samples": "Samples",
    "interpolation": "Interpolation",
    "latent_map": "The latent space as a map",
    "pseudo_inputs": "Pseudo-inputs",
    "unit_use": "What each unit says",
    "tails": "Whether log p(x) can be relied on",
    "gaps": "What the guide costs",
    "calibration": "Whether q(z|x) is the posterior",
    "predictions": "Whether draws look like the data",
}
START, END = "<!-- diagnosis -->", "<!-- end of diagnosis -->"
EXPLAINED = (
    "All numbers are in nats per datum, higher is better; the standard error (+-) is that of the "
    "mean over test data. The ELBO and the importance-weighted bound are both at most log p(x) in "
    "expectation, and the second comes closer to it with more particles."
)


class Picture(NamedTuple):
    """A figure: its name, one sentence on how to read it, and its PNG."""

    name: str
    caption: str
    png: bytes


def page(config: dict[str, Any], metrics: dict[str, Any], pictures: list[Picture]) -> str:
    """Return the report as HTML.

    Args:
        config: as in config.json.
        metrics: as in metrics.json.
        pictures: the figures.
    """
    name = f"{config['model']['function']} on {config['data']['name']}"
    body = [
        f"<h1>{escape(name)}</h1>",
        f"<p class=quiet>{escape(config['model']['summary'])}</p>",
        _numbers(metrics, config["data"]["sizes"]["test"]),
        f"<p>{escape(_explain_numbers(metrics))}</p>",
        *([f"<p>{escape(kept)}</p>"] if (kept := _describe_kept_epoch(metrics)) else []),
        _section("The model", f"<pre>{escape(config['model']['statement'])}</pre>"),
        _section("The data", f"<p>{escape(_protocol(config['data']))}</p>"),
        _section("Figures", "".join(map(_picture, pictures)) or "<p>None were drawn.</p>"),
        _section("How it was made", _encode_picture(config, metrics)),
    ]
    return _document(name, "\n".join(body))


def with_diagnosis(page: str, verdict: Any, pictures: list[Picture]) -> str:
    """Return a report with the section of a diagnosis, in the place of an earlier one's."""
    body = f"{_findings(verdict)}\n{''.join(map(_picture, pictures))}"
    made = f"{START}\n{_section('Diagnosis', body)}\n{END}\n"
    before, found, after = page.partition(START)
    if found:
        return before + made + after.partition(f"{END}\n")[2]
    at = page.find("<h2>Figures</h2>")
    return page[:at] + made + page[at:] if at >= 0 else page.replace("</body>", f"{made}</body>")


def _findings(verdict: Any) -> str:
    head, *_ = str(verdict).splitlines()
    rows = (
        "<tr><th><b "
        f"class={escape(str(each.kind))}>{escape(str(each.kind))}</b><br>{escape(each.name)}</th>"
        f"<td>{escape(each.evidence)}<br><span class=quiet>threshold: {escape(each.source)}</span><br>"
        f"<b>remedy:</b> {escape(each.remedy)}</td></tr>"
        for each in verdict
    )
    return f"<p>{escape(head)}</p>\n<table>{''.join(rows)}</table>"


def _document(title: str, body: str) -> str:
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)} - ProbVAE</title>\n<style>{STYLE}</style>\n</head>\n"
        f"<body>\n{body}\n</body>\n</html>\n"
    )


def _section(title: str, body: str) -> str:
    return f"<h2>{escape(title)}</h2>\n{body}"


def _numbers(metrics: dict[str, Any], num_test: int) -> str:
    shown = [("test log p(x) \u2265", "test_log_prob"), ("test ELBO", "test_elbo")]
    cards = [_number(label, metrics[name], num_test) for label, name in shown if metrics[name]]
    return f"<div class=numbers>{''.join(cards)}</div>"


def _explain_numbers(metrics: dict[str, Any]) -> str:
    """Say how the numbers are read, or why there are none."""
    if metrics["test_elbo"] is None:
        return f"There is no test log p(x) and no ELBO: {metrics['no_log_prob']}"
    return EXPLAINED


def _describe_kept_epoch(metrics: dict[str, Any]) -> str:
    """Say which epoch the numbers are of, where the validation data chose it."""
    kept = metrics["fit"].get("kept", "")
    return f"Of {metrics['fit']['epochs']} epochs, {kept}." if kept else ""


def _number(label: str, number: dict[str, Any], num_test: int) -> str:
    value = f"{_show_picture(number['mean'])} \u00b1 {_show_picture(number['standard_error'])} nats"
    few = number["num_data"] < num_test
    data = f"{number['num_data']:,}{f' of {num_test:,}, drawn at random' if few else ' test data'}"
    error = f"Monte Carlo error {_show_picture(number['monte_carlo_error'])} per datum"
    small = f"{data}; {number['num_particles']:,} particles each; {error}"
    return (
        f"<div class=number><span>{escape(label)}</span><b>{escape(value)}</b>"
        f"<span>{escape(small)}</span></div>"
    )


def _show_picture(value: float | None) -> str:
    return "not finite" if value is None or value != value else f"{value:.2f}"


def _protocol(data: dict[str, Any]) -> str:
    sizes = ", ".join(f"{split} {n:,}" for split, n in data["sizes"].items())
    low, high = data["range"]
    shape = " x ".join(map(str, data["event_shape"]))
    return f"{data['description']}. {sizes}; shape {shape}; values in [{low:.4g}, {high:.4g}]."


def _picture(picture: Picture) -> str:
    title = TITLES.get(picture.name, picture.name.replace("_", " "))
    source = base64.b64encode(picture.png).decode()
    return (
        f"<h3>{escape(title)}</h3>\n<p>{escape(picture.caption)}</p>\n<figure>"
        f'<img alt="{escape(title)}" src="data:image/png;base64,{source}"></figure>\n'
    )


def _encode_picture(config: dict[str, Any], metrics: dict[str, Any]) -> str:
    training, done = config["training"], metrics["fit"]
    rows = {
        "command": config["command"] or "none: made from Python",
        "date": config["date"],
        "model file": config["model"]["file"],
        "arguments": json.dumps(config["model"]["arguments"]),
        "objective": training["objective"],
        "optimizer": training["optimizer"],
        "epochs": f"{done['epochs']} of {training['epochs']}, {done['seconds']:.1f} s"
        + (f" since epoch {done['since_epoch']}" if "since_epoch" in done else ""),
        "batch size": str(training["batch_size"]),
        "seed": str(training["seed"]),
        **({"incidents": "; ".join(done["incidents"])} if "incidents" in done else {}),
        **({"asked at": training["asked_at"]} if "asked_at" in training else {}),
        "data": f"{config['data']['source']}, test data sha256 {config['data']['sha256'][:12]}",
        "versions": ", ".join(f"{name} {v}" for name, v in config["versions"].items()),
    }
    cells = (f"<tr><th>{escape(k)}</th><td>{escape(v)}</td></tr>" for k, v in rows.items())
    return f"<table>{''.join(cells)}</table>"
