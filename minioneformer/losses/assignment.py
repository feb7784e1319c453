r"""Minimum-cost assignment of rows to columns.

Paper: OneFormer (arXiv 2211.06220), Sec. 3.5 ("bipartite matching"); not drawn in Figure 2.
After: R. Jonker and A. Volgenant, "A shortest augmenting path algorithm for dense and sparse
linear assignment problems" (1987); the potentials are those of the Hungarian method.

`hungarian` is the algorithm to read, `assign` the function to call.

Not here: the costs (`losses/matcher.py`).
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment


def assign(
    cost: Float[np.ndarray, "R C"], method: str = "scipy"
) -> tuple[Int[np.ndarray, " P"], Int[np.ndarray, " P"]]:
    """Pair each row with one column (or each column with one row, if there are fewer).

    Args:
        cost: Of each pair; finite.
        method: "scipy" or "hungarian"; equal in total cost.

    Returns:
        Row and column of each of the min(R, C) pairs, rows ascending.

    Raises:
        ValueError: If a cost is not finite (says how many), or `method` is unknown.

    Example:
        Costs [[4, 1], [2, 0]]: 4 + 0 = 4 loses against 1 + 2 = 3, so row 0 gets column 1 and
        row 1 gets column 0, although row 1 would rather have column 1.
    """
    bad = int((~np.isfinite(cost)).sum())
    if bad:
        raise ValueError(
            f"costs must be finite, got {bad} of {cost.size} entries that are not in a matrix of "
            f"shape {cost.shape}. The predictions have diverged: look at the loss and the "
            "gradient norm of the steps before."
        )
    if method == "scipy":
        rows, columns = linear_sum_assignment(cost)
        return rows, columns
    if method == "hungarian":
        return hungarian(cost)
    raise ValueError(f"method must be 'scipy' or 'hungarian', got {method=}.")


def hungarian(
    cost: Float[np.ndarray, "R C"],
) -> tuple[Int[np.ndarray, " P"], Int[np.ndarray, " P"]]:
    r"""Assignment by shortest augmenting paths, $O(R^2 C)$, written to be read.

    Rows are added one at a time. Each new row looks for the cheapest way to get a column, if
    need be by moving rows that already have one. Prices (potentials) on rows and columns keep
    every reduced cost $c_{ij} - u_i - v_j$ at 0 or above, and at exactly 0 on assigned pairs,
    so that a path of cheapest reduced costs never has to be undone.

    Args:
        cost: Of each pair; finite.

    Returns:
        Row and column of each pair, rows ascending.
    """
    if cost.shape[0] > cost.shape[1]:  # every row needs a column: work on the transpose
        columns, rows = hungarian(cost.T)
        order = np.argsort(rows)
        return rows[order], columns[order]
    num_rows, num_columns = cost.shape
    row_price, column_price = np.zeros(num_rows), np.zeros(num_columns)
    row_of_column = np.full(num_columns, -1)
    for row in range(num_rows):
        _augment(cost, row, row_price, column_price, row_of_column)
    columns = np.flatnonzero(row_of_column >= 0)
    order = np.argsort(row_of_column[columns])
    return row_of_column[columns][order], columns[order]


def _augment(
    cost: np.ndarray,
    new_row: int,
    row_price: np.ndarray,
    column_price: np.ndarray,
    row_of_column: np.ndarray,
) -> None:
    """Give `new_row` a column along the cheapest alternating path; update the prices."""
    num_columns = cost.shape[1]
    distance = np.full(num_columns, np.inf)  # cheapest path from new_row to each column
    came_from = np.full(num_columns, new_row)  # row before that column on the path
    visited = np.zeros(num_columns, dtype=bool)
    visited_rows, row, travelled = [new_row], new_row, 0.0
    while True:
        # Relax: go on from `row` to every column not visited yet.
        reached = travelled + cost[row] - row_price[row] - column_price
        better = (reached < distance) & ~visited
        distance[better], came_from[better] = reached[better], row
        # Visit the nearest column; it ends the path if it is free.
        column = int(np.where(visited, np.inf, distance).argmin())
        travelled = distance[column]
        visited[column] = True
        if row_of_column[column] < 0:
            break
        row = int(row_of_column[column])
        visited_rows.append(row)

    # subtle: prices move by how much nearer than the path's end a vertex was; before rows move.
    row_price[new_row] += travelled
    moved = visited & (row_of_column >= 0)
    row_price[row_of_column[moved]] += travelled - distance[moved]
    column_price[visited] -= travelled - distance[visited]

    while True:  # walk back, handing each column to the row before it
        row = came_from[column]
        previous = np.flatnonzero(row_of_column == row)
        row_of_column[column] = row
        if row == new_row:
            return
        column = int(previous[0])
