"""The report of a run as an HTML page.

Paper: not in OneFormer (arXiv 2211.06220); not drawn in Figure 2.

One file: style, curves and pictures are in it, nothing runs, nothing is fetched. Whatever comes
from a file of the run is escaped.

Not here: reading the run (`report_run.py`), drawing curves (`report_curves.py`).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from html import escape
from pathlib import Path
from typing import Any

from minioneformer.training.curves import curve_panels, thin
from minioneformer.training.report_curves import COLORS, draw_svg
from minioneformer.training.report_run import RunState, best_evaluation
from minioneformer.training.validation import BEST, EVALUATIONS

STYLE = Path(__file__).resolve().parents[1] / "assets" / "report.css"
MOST_SAMPLES = 6
FIGURES = {
    "pq": "PQ",
    "sq": "SQ",
    "rq": "RQ",
    "pq_things": "PQ things",
    "pq_stuff": "PQ stuff",
    "ap": "AP",
    "ap50": "AP50",
    "miou": "mIoU",
    "fwiou": "fwIoU",
}
DRAWN_FIGURES = ("pq", "ap", "miou")


def render_page(run: RunState, *, now: int | float) -> str:
    """The whole page.

    Args:
        run: As its folder tells it.
        now: In seconds since 1970; the page says how old its news are.

    Returns:
        HTML.

    Raises:
        OSError: If a picture cannot be read.
    """
    sections = [
        _progress(run, now),
        _failure(run),
        _evaluations(run),
        _curves(run),
        _samples(run),
        _files(run),
        _versions(run),
        _recipe(run),
    ]
    title = escape(run.name)
    # The policy holds the page to its promise: no browser will fetch anything for it.
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}: training run</title>
<style>
{STYLE.read_text(encoding="utf-8")}</style>
</head>
<body>
<header><h1>{title}</h1><p>Training run in the folder <code>{escape(run.folder_name)}</code>.
Written {_moment(now)}.</p></header>
<main>
{"".join(sections)}</main>
</body>
</html>
"""


def duration(seconds: int | float) -> str:
    """A time as people say it.

    Args:
        seconds: Not negative.

    Example:
        59.6 is "1 min 0 s", 3720 is "1 h 2 min", 200000 is "2 d 7 h".
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def _section(title: str, body: str) -> str:
    return f"<section>\n<h2>{title}</h2>\n{body}\n</section>\n"


def _facts(facts: Mapping[str, str], *, kind: str = "facts") -> str:
    """Name and value pairs, as tiles or as "lines"; the values are HTML."""
    pairs = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{value}</dd></div>" for name, value in facts.items()
    )
    return f'<dl class="{kind}">{pairs}</dl>'


def _moment(seconds: int | float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%d %H:%M UTC")


def _progress(run: RunState, now: int | float) -> str:
    done = run.progress
    facts = {
        "steps": f"{done.step:,}" if done.total is None else f"{done.step:,} of {done.total:,}"
    }
    if done.images is not None:
        facts["images seen"] = f"{done.images:,}"
    if done.seconds is not None:
        facts["time in steps"] = duration(done.seconds)
    if done.seconds_left and run.failure is None:
        facts["left, at this speed"] = duration(done.seconds_left)
    if done.images_per_second is not None:
        facts["images per second"] = f"{done.images_per_second:.3g}"
    if done.waiting_share is not None:
        facts["waiting for data"] = f"{done.waiting_share:.1%}"
    if done.memory_gib is not None:
        facts["peak memory"] = f"{done.memory_gib:.3g} GiB"
    return _section("Progress", _state(run, now) + _facts(facts))


def _state(run: RunState, now: int | float) -> str:
    """How the run stands, in a sentence and as a bar."""
    done = run.progress
    age = duration(max(0.0, now - run.logged_at))
    if run.failure is not None:
        kind, text = "bad", "Stopped by a number that is not finite."
    elif done.total is not None and done.step >= done.total:
        kind, text = "good", f"Finished {_moment(run.logged_at)}."
    else:
        kind, text = "open", f"Not finished. The last step was logged {age} before this page."
    state = f'<p class="state {kind}">{text}</p>'
    if not done.total:
        return state
    share = min(1.0, done.step / done.total)
    return f'{state}<div class="bar"><span class="{kind}" style="width: {share:.1%}"></span></div>'


def _failure(run: RunState) -> str:
    if run.failure is None:
        return ""
    facts = {str(name).replace("_", " "): _value(value) for name, value in run.failure.items()}
    advice = (
        "<p>The weights are those of the step before. Look at these images, lower the learning "
        "rate or clip the gradient.</p>"
    )
    return _section("Why it stopped", advice + _facts(facts, kind="lines"))


def _value(value: Any) -> str:
    """A JSON value in words, as HTML."""
    if isinstance(value, dict):
        text = ", ".join(f"{name} = {inner}" for name, inner in value.items())
    elif isinstance(value, list):
        text = ", ".join(str(inner) for inner in value)
    elif isinstance(value, float):
        text = f"{value:.4g}"
    else:
        text = "–" if value is None else str(value)
    return escape(text)


def _evaluations(run: RunState) -> str:
    if not run.evaluations or run.metric is None:
        return ""
    names = [name for name in FIGURES if any(name in row for row in run.evaluations)]
    best = best_evaluation(run.evaluations, run.metric)
    head = "".join(f"<th>{FIGURES[name]}</th>" for name in names)
    rows = "".join(_evaluation_row(row, names, is_best=row is best) for row in run.evaluations)
    decides = escape(FIGURES.get(run.metric, run.metric))
    kept = f" Its model lies in <code>{BEST}</code>." if BEST in run.models else ""
    note = (
        f"<p>In percent. {decides} decides which one is the best.{kept} All figures stand in "
        f"<code>{EVALUATIONS}</code>.</p>"
    )
    table = f"<table><thead><tr><th>step</th>{head}</tr></thead><tbody>{rows}</tbody></table>"
    return _section("Evaluations", f'{note}<div class="wide">{table}</div>')


def _evaluation_row(row: Mapping[str, Any], names: Sequence[str], *, is_best: bool) -> str:
    cells = "".join(f"<td>{_percent(row.get(name))}</td>" for name in names)
    mark = ' <span class="mark">best</span>' if is_best else ""
    kind = ' class="best"' if is_best else ""
    return f"<tr{kind}><th>{row['step']:,}{mark}</th>{cells}</tr>"


def _percent(value: int | float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _curves(run: RunState) -> str:
    panels = [_panel(title, run.rows, names) for title, names in curve_panels(run.rows).items()]
    measured = [n for n in DRAWN_FIGURES if any(row.get(n) is not None for row in run.evaluations)]
    if measured:
        panels.insert(0, _panel("evaluations", run.evaluations, measured))
    return _section("Curves", f'<div class="panels">{"".join(panels)}</div>')


def _panel(title: str, rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> str:
    svg = draw_svg({name: thin(rows, name) for name in names}, title)
    keys = "".join(
        f'<span><i class="color-{number % COLORS}"></i>{escape(_short_name(name))}</span>'
        for number, name in enumerate(names)
    )
    legend = f'<div class="legend">{keys}</div>' if len(names) > 1 else ""
    return f"<figure><figcaption>{escape(title)}</figcaption>{svg}{legend}</figure>"


def _short_name(name: str) -> str:
    short = name.removeprefix("auxiliary_").removeprefix("loss_").replace("_", " ")
    return FIGURES.get(name, short)


def _samples(run: RunState) -> str:
    if not run.samples:
        return ""
    steps = _spread(list(run.samples), MOST_SAMPLES)
    pictures = [
        f"<details{' open' if step == steps[-1] else ''}><summary>after step {step:,}</summary>"
        f'<div class="wide">{_picture(run.samples[step], step)}</div></details>'
        for step in reversed(steps)
    ]
    note = (
        ""
        if len(steps) == len(run.samples)
        else (f"<p>{len(steps)} of {len(run.samples)}; the others lie in <code>samples</code>.</p>")
    )
    return _section("Predictions on validation images", note + "".join(pictures))


def _spread(steps: Sequence[int], most: int) -> list[int]:
    """The first, the last, and some at equal distances between them."""
    if len(steps) <= most:
        return list(steps)
    return [steps[round(i * (len(steps) - 1) / (most - 1))] for i in range(most)]


def _picture(path: Path, step: int) -> str:
    content = base64.b64encode(path.read_bytes()).decode("ascii")
    alt = f"images, annotations and predictions after step {step}"
    return f'<img alt="{alt}" src="data:image/png;base64,{content}">'


def _files(run: RunState) -> str:
    rows = [
        f"<tr><th><code>{escape(name)}</code></th><td>{size / 2**20:,.1f} MiB</td></tr>"
        for name, size in run.checkpoints.items()
    ]
    rows += [f"<tr><th><code>{escape(name)}</code></th><td>model</td></tr>" for name in run.models]
    if not rows:
        return ""
    return _section("Checkpoints and models", f"<table><tbody>{''.join(rows)}</tbody></table>")


def _versions(run: RunState) -> str:
    if not run.versions:
        return ""
    lists = []
    for entry in run.versions:
        facts = {str(name): _value(value) for name, value in entry.items() if name != "from_step"}
        since = (
            f"<p>After step {_value(entry.get('from_step'))}</p>" if len(run.versions) > 1 else ""
        )
        lists.append(since + _facts(facts, kind="lines"))
    return _section("Versions", "".join(lists))


def _recipe(run: RunState) -> str:
    if not run.recipe:
        return ""
    text = escape(json.dumps(run.recipe, indent=1, ensure_ascii=False))
    return _section(
        "Recipe", f"<details><summary>every setting</summary><pre>{text}</pre></details>"
    )
