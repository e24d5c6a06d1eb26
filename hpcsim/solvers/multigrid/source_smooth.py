"""Source of the half sweeps, the polynomial smoother and the residual of a level.

A row holds its sites of one colour; A is that colour, B the other one. The neighbours of element h along outer axes
are element h of B in the neighbouring rows, those in the row are elements h + p - 1 and h + p of B, p being the parity
of the first site. The loops run over whole rows; what they make of the two end sites is then replaced.
"""

from __future__ import annotations

from hpcsim.solvers.multigrid.source import Form

_CONSTANT_SUM = "l# * B[i - s#] + u# * B[i + s#]"
_VARYING_SUM = "W[i + l#] * B[i - s#] + W[i + u#] * B[i + s#]"


def smooth_text(form: Form) -> str:
    """Rows, then planes."""
    planes = [
        _relax_plane(form),
        _residual_plane(form),
        _source_plane(form),
        *([_poly_plane(form)] if form.polynomial else []),
    ]
    return "\n".join([_row_functions(form), *planes])


def neighbours(form: Form) -> str:
    """Sum over the neighbours along outer axes of element i."""
    return form.each(_VARYING_SUM if form.varying else _CONSTANT_SUM, " + ")


def _row(form: Form, name: str, arguments: str, value: str, target: str = "A") -> str:
    weights = f"{form.each('l#, u#')}, lx, ux"
    return f"""\
@njit(pipeline_class=Distinct, **OPTIONS)
def {name}({arguments}, W, q, p, m, {form.each("s#")}, {weights}, centre, old, omega):
    e = q + U(p)
    k = omega / {"T(1)" if form.varying else "centre"}
    for h in range(m):
        i = q + U(h)
        j = e + U(h)
        {target}[i] = {value}

"""


def _row_functions(form: Form) -> str:
    inner = "W[i + lx] * B[j - U(1)] + W[i + ux] * B[j]" if form.varying else "lx * B[j - U(1)] + ux * B[j]"
    total = f"({neighbours(form)} + {inner})"
    diagonal = "W[i + centre]" if form.varying else "centre"
    step = f"k * (F[i] - {total})" + (f" / {diagonal}" if form.varying else "")
    start = "k * F[i]" + (f" / {diagonal}" if form.varying else "")
    defect = f"F[i] - ({diagonal} * A[i] + {total})"
    change = f"A[i] + k * ({defect})" + (f" / {diagonal}" if form.varying else "")
    text = _row(form, "start_row", "A, B, F", start)
    text += _row(form, "fresh_row", "A, B, F", step)
    text += _row(form, "relax_row", "A, B, F", f"old * A[i] + {step}")
    if form.polynomial:
        text += _row(form, "poly_first_row", "P, A, B, F", change, "P")
        text += _row(form, "poly_row", "P, A, B, F", f"{change} + old * (A[i] - P[i])", "P")
    # The residual of a row goes to scratch, so its target has an index of its own.
    text += _row(form, "residual_row", "S, x, A, B, F", defect, "S").replace("S[i] =", "S[x + U(h)] =")
    return text


def _plane_head(form: Form) -> str:
    """What all rows of plane z share: strides, weights of axis 0, weights of the row."""
    text = """\
    n = g[o + SITES]
    wrap = g[o + WRAP]
"""
    for a in range(form.outer):
        text += f"    s{a} = U(g[o + STEP + {a}])\n"
    if form.varying:
        text += "    wide = U(g[o + WEIGHTS])\n    pool = U(2) * wide\n    here = U(c) * wide\n"
        for a in range(form.outer):
            text += f"    l{a} = here + U({2 * a}) * pool\n    u{a} = here + U({2 * a + 1}) * pool\n"
        text += f"    lx = here + U({2 * form.outer}) * pool\n    ux = here + U({2 * form.outer + 1}) * pool\n"
        return text + f"    d = here + U({2 * form.outer + 2}) * pool\n"
    for a in range(form.outer):
        text += f"    w{a} = g[o + WEIGHTS + {a}]\n    n{a} = g[o + TOTAL + {a}]\n"
    return (
        text
        + """\
    r = g[o + ROW]
    lx = t[r + 1]
    ux = t[r + 2]
    l0 = t[w0 + z]
    u0 = t[w0 + n0 + z]
    d0 = t[r] + t[w0 + 2 * n0 + z]
"""
    )


def _row_head(form: Form) -> str:
    """Weights, parity, length and first element of a row, for the body of the loop over rows."""
    text = ""
    if not form.varying:
        for a in range(1, form.outer):
            text += f"l{a} = t[w{a} + i{a}]\nu{a} = t[w{a} + n{a} + i{a}]\n"
            text += f"d{a} = d{a - 1} + t[w{a} + 2 * n{a} + i{a}]\n"
        text += f"d = d{form.outer - 1}\n"
    index = "".join(f" + i{a}" for a in range(1, form.outer))
    place = "".join(f" + U(i{a}) * s{a}" for a in range(1, form.outer))
    return (
        text
        + f"""\
p = (g[o + PARITY] + z{index} + c) & 1
m = (n + 1 - p) >> 1
q = U(g[o + BASE]) + U(z) * s0{place}
"""
    )


def end_values(form: Form, own_last: str, own_first: str) -> tuple[str, str]:
    """Residual without the centre at the first and at the last site of a row, as statements that set v and d1."""
    low = f"((B[q + U((n >> 1) - 1)] if n & 1 == 0 else {own_last}) if wrap else T(0))"
    high = f"((B[q] if n & 1 == 0 else {own_first}) if wrap else T(0))"
    if form.varying:
        first = f"{neighbours(form)} + W[i + lx] * {low} + W[i + ux] * B[q]"
        last = f"{neighbours(form)} + W[i + lx] * B[i + U(p) - U(1)] + W[i + ux] * {high}"
        return f"v = F[i] - ({first})\ne = W[i + d]", f"v = F[i] - ({last})\ne = W[i + d]"
    first = f"{neighbours(form)} + t[r + 3] * {low} + t[r + 4] * B[q]"
    last = f"{neighbours(form)} + t[r + 6] * B[i + U(p) - U(1)] + t[r + 7] * {high}"
    return f"v = F[i] - ({first})\ne = d + t[r + 5]", f"v = F[i] - ({last})\ne = d + t[r + 8]"


def _ends(form: Form, own_last: str, own_first: str, first: str, last: str) -> str:
    """Replace what the loop made of the end sites; with arrays of weights only where rows are periodic."""
    at_first, at_last = end_values(form, own_last, own_first)
    only = "wrap and " if form.varying else ""

    def block(condition: str, place: str, value: str, statement: str) -> str:
        lines = [f"i = {place}", *value.split("\n"), *statement.split("\n")]
        return f"if {only}{condition}:\n" + "".join(f"    {line}\n" for line in lines)

    return block("p == 0", "q", at_first, first) + block(
        "n > 1 and (n - 1 - p) & 1 == 0", "q + U(m - 1)", at_last, last
    )


def _plane(form: Form, name: str, arguments: str, body: str) -> str:
    inner = "if m > 0:\n" + "".join(f"    {line}\n" for line in body.strip("\n").split("\n"))
    loops = form.rows("    ", "strips[row, col + 2 * #], strips[row, col + 2 * # + 1]", _row_head(form) + inner)
    return f"""\
@njit(**OPTIONS)
def {name}({arguments}, W, g, t, o, c, z, strips, row, col):
{_plane_head(form)}{loops}
"""


def _call(form: Form, name: str, arrays: str, old: str, omega: str) -> str:
    return f"{name}({arrays}, W, q, p, m, {form.each('s#')}, {form.each('l#, u#')}, lx, ux, d, {old}, {omega})"


def _relax_plane(form: Form) -> str:
    first = "v = omega * v / e\nA[i] = v + old * a if kind == 2 else v"
    last = "v = omega * v / e\nA[i] = v + old * b if kind == 2 else v"
    ends = _ends(form, "(b if kind == 2 else T(0))", "(A[q] if kind == 2 else T(0))", first, last)
    # From zero the first half sweep has no neighbours.
    ends = ends.replace("    v = omega", "    if kind == 0:\n        v = F[i]\n    v = omega")
    return _plane(
        form,
        "relax_plane",
        "kind, omega, A, B, F",
        f"""\
ahead(F, q + U(AHEAD) * s{form.outer - 1}, m)
ahead(A, q + U(AHEAD) * s{form.outer - 1}, m)
old = T(1) - omega
a = A[q]
b = A[q + U(m - 1)]
if kind == 2:
    {_call(form, "relax_row", "A, B, F", "old", "omega")}
elif kind == 1:
    {_call(form, "fresh_row", "A, B, F", "old", "omega")}
else:
    {_call(form, "start_row", "A, B, F", "old", "omega")}
{ends}""",
    )


def _poly_plane(form: Form) -> str:
    """One step: P holds the iterate before last and becomes the next one."""
    change = "v = A[i] + alpha * (v - e * A[i]) / e\nP[i] = v + beta * (A[i] - {0}) if beta != T(0) else v"
    ends = _ends(form, "A[q + U(m - 1)]", "A[q]", change.format("a"), change.format("b"))
    return _plane(
        form,
        "poly_plane",
        "alpha, beta, P, A, B, F",
        f"""\
a = P[q]
b = P[q + U(m - 1)]
if beta != T(0):
    {_call(form, "poly_row", "P, A, B, F", "beta", "alpha")}
else:
    {_call(form, "poly_first_row", "P, A, B, F", "beta", "alpha")}
{ends}""",
    )


def _residual_plane(form: Form) -> str:
    """Residual of one colour of plane z to its place in the ring: rows of even sites, then of odd ones."""
    place = "(z % RING)"
    for a in range(1, form.outer):
        place = f"({place} * g[o + TOTAL + {a}] + i{a})"
    ends = _ends(
        form,
        "A[q + U(m - 1)]",
        "A[q]",
        "S[x] = v - e * A[i]",
        "S[x + U(m - 1)] = v - e * A[i]",
    )
    return _plane(
        form,
        "residual_plane",
        "S, s, A, B, F",
        f"""\
x = U(s) + U((2 * {place} + p) * g[o + HALF])
{_call(form, "residual_row", "S, x, A, B, F", "T(0)", "T(0)")}
{ends}""",
    )


def _source_plane(form: Form) -> str:
    """Right side of one colour of plane z to its place in the ring."""
    place, index = "(z % RING)", ""
    for a in range(1, form.outer):
        place = f"({place} * g[o + TOTAL + {a}] + i{a})"
        index += f" + i{a}"
    start = " + ".join(["g[o + BASE] + z * g[o + STEP]", *(f"i{a} * g[o + STEP + {a}]" for a in range(1, form.outer))])
    body = f"""\
p = (g[o + PARITY] + z{index} + c) & 1
x = U(s) + U((2 * {place} + p) * g[o + HALF])
q = U({start})
for h in range((n + 1 - p) >> 1):
    S[x + U(h)] = F[q + U(h)]
"""
    loops = form.rows("    ", "strips[row, col + 2 * #], strips[row, col + 2 * # + 1]", body)
    return f"""\
@njit(pipeline_class=Distinct, **OPTIONS)
def source_plane(S, s, F, g, o, c, z, strips, row, col):
    n = g[o + SITES]
{loops}
"""
