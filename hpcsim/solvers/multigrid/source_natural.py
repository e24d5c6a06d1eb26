"""Source of the loops over arrays in natural order: right side and solution of the finest level, double precision."""

from __future__ import annotations

from hpcsim.solvers.multigrid.source import Form

_ROWS = """\
@njit(pipeline_class=Distinct, **OPTIONS)
def split_row(E, O, q, X, x, scale, m):
    # Both colours in one loop: the compiler then reads whole vectors and shuffles.
    for h in range(m):
        E[q + U(h)] = T(scale * X[x + U(2 * h)])
        O[q + U(h)] = T(scale * X[x + U(2 * h + 1)])


@njit(pipeline_class=Distinct, **OPTIONS)
def join_row(X, x, E, O, q, m, fresh):
    if fresh:
        for h in range(m):
            X[x + U(2 * h)] = E[q + U(h)]
            X[x + U(2 * h + 1)] = O[q + U(h)]
    else:
        for h in range(m):
            X[x + U(2 * h)] += E[q + U(h)]
            X[x + U(2 * h + 1)] += O[q + U(h)]


@njit(pipeline_class=Distinct, **OPTIONS)
def join_scaled_row(X, x, E, O, q, scale, m, fresh):
    if fresh:
        for h in range(m):
            X[x + U(2 * h)] = scale * E[q + U(h)]
            X[x + U(2 * h + 1)] = scale * O[q + U(h)]
    else:
        for h in range(m):
            X[x + U(2 * h)] += scale * E[q + U(h)]
            X[x + U(2 * h + 1)] += scale * O[q + U(h)]


@njit(pipeline_class=Distinct, **SUMS)
def shift_row(Z, y, X, x, mean, m):
    total = 0.0
    for h in range(m):
        v = X[x + U(h)] - mean
        Z[y + U(h)] = v
        total += v * v
    return total


@njit(pipeline_class=Distinct, **SUMS)
def square_row(X, x, m):
    total = 0.0
    for h in range(m):
        v = np.float64(X[x + U(h)])
        total += v * v
    return total

"""


def natural_text(form: Form) -> str:
    """Rows, then planes."""
    parts = (_ROWS, _apply_row(form), _head(form), _load_plane(form), _add_plane(form), _residual_plane(form))
    return "\n".join(parts)


def _apply_row(form: Form) -> str:
    """Interior of a row of the operator; sites 0 and n - 1 are done apart."""
    steps = form.each("lo#, up#")
    weights = f"{form.each('l#, u#')}, lx, ux, d"
    if form.varying:
        outer = form.each("V[v + l# + k] * X[i + lo#] + V[v + u# + k] * X[i + up#]", " + ")
        value = f"V[v + d + k] * X[i] + ({outer} + V[v + lx + k] * X[i - U(1)] + V[v + ux + k] * X[i + U(1)])"
    else:
        outer = form.each("l# * X[i + lo#] + u# * X[i + up#]", " + ")
        value = f"d * X[i] + ({outer} + lx * X[i - U(1)] + ux * X[i + U(1)])"
    given = f"Z, y, X, x, V, v, {steps}, {weights}, n"
    return f"""\
@njit(pipeline_class=Distinct, **OPTIONS)
def apply_row({given}):
    for h in range(1, n - 1):
        k = U(h)
        i = x + k
        Z[y + k] = {value}


@njit(pipeline_class=Distinct, **SUMS)
def defect_row(R, f, mean, {given}):
    total = 0.0
    for h in range(1, n - 1):
        k = U(h)
        i = x + k
        r = R[f + k] - mean - ({value})
        Z[y + k] = r
        total += r * r
    return total


@njit(**OPTIONS)
def apply_site(X, i, low, high, V, k, {steps}, {weights}):
    return {_site(form)}

"""


def _site(form: Form) -> str:
    if form.varying:
        outer = form.each("V[l# + k] * X[i + lo#] + V[u# + k] * X[i + up#]", " + ")
        return f"V[d + k] * X[i] + ({outer} + V[lx + k] * low + V[ux + k] * high)"
    outer = form.each("l# * X[i + lo#] + u# * X[i + up#]", " + ")
    return f"d * X[i] + ({outer} + lx * low + ux * high)"


def _weights(form: Form) -> tuple[str, tuple[str, str]]:
    """Statements that find the weights of a row, and the weights of its two ends."""
    if form.varying:
        right = " + ".join(["g[o + RIGHT]", *(f"i{a} * g[o + RIGHTSTEP + {a}]" for a in range(form.outer))])
        weights = f"    wide = U(V.size // {2 * form.outer + 3})\n    v = U({right})\n"
        for a in range(form.outer):
            weights += f"    l{a} = U({2 * a}) * wide\n    u{a} = U({2 * a + 1}) * wide\n"
        weights += f"    lx = U({2 * form.outer}) * wide\n    ux = U({2 * form.outer + 1}) * wide\n"
        weights += f"    d = U({2 * form.outer + 2}) * wide\n"
        return weights, ("lx, ux, d", "lx, ux, d")
    weights = "    v = U(0)\n    r = g[o + ROW]\n    d = V[r]\n"
    for a in range(form.outer):
        weights += f"    w{a} = g[o + WEIGHTS + {a}]\n    n{a} = g[o + TOTAL + {a}]\n"
        weights += f"    l{a} = V[w{a} + i{a}]\n    u{a} = V[w{a} + n{a} + i{a}]\n"
        weights += f"    d += V[w{a} + 2 * n{a} + i{a}]\n"
    weights += "    lx = V[r + 1]\n    ux = V[r + 2]\n"
    return weights, ("V[r + 3], V[r + 4], d + V[r + 5]", "V[r + 6], V[r + 7], d + V[r + 8]")


def _head(form: Form) -> str:
    """The operator on one row of the solution, to scratch in natural order."""
    outer = form.each("i#")
    place = " + ".join(["g[o + SOLUTION]", *(f"i{a} * g[o + SOLUTIONSTEP + {a}]" for a in range(form.outer))])
    steps = "".join(
        f"    lo{a} = U(nt[g[o + BEFORE + {a}] + i{a}])\n"
        f"    up{a} = U(nt[g[o + BEFORE + {a}] + g[o + TOTAL + {a}] + i{a}])\n"
        for a in range(form.outer)
    )
    weights, ends = _weights(form)
    given = f"{form.each('lo#, up#')}, {form.each('l#, u#')}"
    head = f"""\
    n = g[o + SITES]
    x = U({place})
{steps}{weights}    low = X[x + U(n - 1)] if g[o + WRAP] else 0.0
    high = X[x + U(1)] if n > 1 else 0.0
    first = apply_site(X, x, low, high, V, v, {given}, {ends[0]})
    e = x + U(n - 1)
    last = 0.0
    if n > 1:
        high = X[x] if g[o + WRAP] else 0.0
        last = apply_site(X, e, X[e - U(1)], high, V, v + U(n - 1), {given}, {ends[1]})
"""
    row = f"Z, y, X, x, V, v, {given}, lx, ux, d, n"
    return f"""\
@njit(**OPTIONS)
def operator_row(Z, y, X, V, g, nt, o, {outer}):
{head}    apply_row({row})
    Z[y] = first
    if n > 1:
        Z[y + U(n - 1)] = last


@njit(**OPTIONS)
def residual_natural_row(R, f, mean, Z, y, X, V, g, nt, o, {outer}):
    \"\"\"Residual of a row; returns the sum of its squares.\"\"\"
{head}    total = defect_row(R, f, mean, {row})
    r = R[f] - mean - first
    Z[y] = r
    total += r * r
    if n > 1:
        r = R[f + U(n - 1)] - mean - last
        Z[y + U(n - 1)] = r
        total += r * r
    return total

"""


def _rows(form: Form, body: str) -> str:
    return form.rows("    ", "strips[row, col + 2 * #], strips[row, col + 2 * # + 1]", body)


def _places(form: Form) -> str:
    """Place of row i in the level and in the arrays, and its number."""
    axes = [("z" if a == 0 else f"i{a}") for a in range(form.outer)]
    level = " + ".join(f"{i} * g[o + STEP + {a}]" for a, i in enumerate(axes))
    right = " + ".join(f"{i} * g[o + RIGHTSTEP + {a}]" for a, i in enumerate(axes))
    solution = " + ".join(f"{i} * g[o + SOLUTIONSTEP + {a}]" for a, i in enumerate(axes))
    number = "z"
    for a in range(1, form.outer):
        number = f"({number}) * g[o + TOTAL + {a}] + i{a}"
    return f"""\
q = U(g[o + BASE] + {level})
f = U(g[o + RIGHT] + {right})
x = U(g[o + SOLUTION] + {solution})
number = {number}
p = (g[o + PARITY] + {" + ".join(axes)}) & 1
"""


_SPLIT = """\
if p == 0:
    split_row(A, B, q, Z, y, scale, n >> 1)
    if n & 1:
        A[q + U(n >> 1)] = T(scale * Z[y + U(n - 1)])
else:
    split_row(B, A, q, Z, y, scale, n >> 1)
    if n & 1:
        B[q + U(n >> 1)] = T(scale * Z[y + U(n - 1)])
"""


def _load_plane(form: Form) -> str:
    body = _places(form) + "sums[number + (sums.size >> 1)] = shift_row(Z, y, R, f, mean, n)\n" + _SPLIT
    return f"""\
@njit(**OPTIONS)
def load_plane(A, B, R, Z, y, sums, scale, mean, g, o, z, strips, row, col):
    n = g[o + SITES]
{_rows(form, body)}
"""


def _add_plane(form: Form) -> str:
    body = (
        _places(form)
        + """\
ahead(X, x + U(AHEAD * n), 2 * n)
if scale == 1.0:
    if p == 0:
        join_row(X, x, A, B, q, n >> 1, fresh)
    else:
        join_row(X, x, B, A, q, n >> 1, fresh)
elif p == 0:
    join_scaled_row(X, x, A, B, q, scale, n >> 1, fresh)
else:
    join_scaled_row(X, x, B, A, q, scale, n >> 1, fresh)
if n & 1:
    v = scale * (A[q + U(n >> 1)] if p == 0 else B[q + U(n >> 1)])
    X[x + U(n - 1)] = v if fresh else X[x + U(n - 1)] + v
"""
    )
    return f"""\
@njit(**OPTIONS)
def add_plane(X, A, B, scale, fresh, g, o, z, strips, row, col):
    n = g[o + SITES]
{_rows(form, body)}
"""


def _residual_plane(form: Form) -> str:
    outer = ", ".join(["z", *(f"i{a}" for a in range(1, form.outer))])
    body = (
        _places(form)
        + f"""\
ahead(R, f + U(AHEAD * n), 2 * n)
sums[number] = residual_natural_row(R, f, mean, Z, y, X, V, g, nt, o, {outer})
"""
        + _SPLIT
    )
    operate = (
        _places(form)
        + f"""\
operator_row(Z, y, X, V, g, nt, o, {outer})
for h in range(n):
    R[f + U(h)] = Z[y + U(h)]
"""
    )
    return f"""\
@njit(**OPTIONS)
def defect_plane(A, B, R, X, V, Z, y, sums, scale, mean, g, nt, o, z, strips, row, col):
    n = g[o + SITES]
{_rows(form, body)}

@njit(**OPTIONS)
def operate_plane(R, X, V, Z, y, g, nt, o, z, strips, row, col):
    n = g[o + SITES]
{_rows(form, operate)}
"""
