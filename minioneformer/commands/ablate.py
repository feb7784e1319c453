"""`minioneformer ablate`.

Paper: OneFormer (arXiv 2211.06220), Tables 4 to 7; not drawn in Figure 2.

Not here: the rows (`training/ablation.py`), the runs (`training/ablation_runs.py`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from minioneformer.atomic import write_text_atomically
from minioneformer.commands.shared import Settings, flat
from minioneformer.training.ablation import Row, base_recipe, rows_named
from minioneformer.training.ablation_runs import Plan, do_runs, plan_runs, read_results
from minioneformer.training.ablation_table import build_table, markdown
from minioneformer.training.recipe import Recipe


def ablate(
    *,
    output: Path,
    seeds: int = 3,
    rows: tuple[str, ...] = (),
    jobs: int = 1,
    set_: Settings = (),
) -> None:
    """Train the paper's ablations on the toy data set, over several seeds; write the table.

    Started again with the same words, it goes on where it was stopped.

    Args:
        output: Folder for the runs, table.md and table.json.
        seeds: Runs of each row.
        rows: Which ones beside the full model, by name (an unknown one lists those there are);
            none is all of them.
        jobs: Runs at a time; two with one core each are faster than one with two.
        set_: Change values of the recipe that all rows share, such as optimization.steps=800.
    """
    base = base_recipe(flat(set_))
    chosen = rows_named(rows)
    plans = plan_runs(base, chosen, seeds)
    output.mkdir(parents=True, exist_ok=True)
    done = sum(read_results(plan, output) is not None for plan in plans)
    print(f"{len(plans)} runs, {done} of them done already", flush=True)
    failures = []
    with closing(do_runs(plans, output, jobs=jobs)) as ended:
        for plan, failure in ended:
            done += not failure
            print(f"{done}/{len(plans)} {plan.row} seed {plan.seed} {failure}".rstrip(), flush=True)
            if failure:
                failures.append(f"{plan.row} seed {plan.seed} ({failure})")
            _write_table(base, chosen, plans, output)
    print(_write_table(base, chosen, plans, output), end="")
    if failures:
        raise ChildProcessError(f"{len(failures)} runs failed: {'; '.join(failures)}")
    print(f"wrote {output / 'table.md'} and {output / 'table.json'}")


def _write_table(base: Recipe, rows: Sequence[Row], plans: Sequence[Plan], output: Path) -> str:
    """From the runs that are done."""
    results = [(plan, read_results(plan, output)) for plan in plans]
    figures = {
        row.name: [found for plan, found in results if found is not None and plan.row == row.name]
        for row in rows
    }
    table = build_table(rows, figures)
    text = markdown(table)
    values = {"recipe": base.to_dict(), "rows": table}
    write_text_atomically(output / "table.json", json.dumps(values, indent=1) + "\n")
    write_text_atomically(output / "table.md", text)
    return text
