"""Source of the transfers between two levels.

Restriction reads residuals from a ring of planes in scratch, where a row is its even sites, then its odd ones. Rows are
added with their weights, then summed along the row. Interpolation adds coarse rows with their weights to a row of
scratch in natural order, then interpolates along the row.
"""

from __future__ import annotations

from hpcsim.solvers.multigrid.source import Form

_ROWS = '''\
@njit(pipeline_class=Distinct, **OPTIONS)
def mix4(Y, y, S, a, b, c, d, wa, wb, wc, wd, m, fresh):
    if fresh:
        for h in range(m):
            k = U(h)
            Y[y + k] = wa * S[a + k] + wb * S[b + k] + wc * S[c + k] + wd * S[d + k]
    else:
        for h in range(m):
            k = U(h)
            Y[y + k] += wa * S[a + k] + wb * S[b + k] + wc * S[c + k] + wd * S[d + k]


@njit(pipeline_class=Distinct, **OPTIONS)
def mix1(Y, y, S, a, wa, m, fresh):
    if fresh:
        for h in range(m):
            Y[y + U(h)] = wa * S[a + U(h)]
    else:
        for h in range(m):
            Y[y + U(h)] += wa * S[a + U(h)]


@njit(pipeline_class=Distinct, **OPTIONS)
def gather2(E, O, q, Y, a, b, wa, wb, m):
    # Both colours in one loop: the compiler then reads whole vectors and shuffles.
    for h in range(m):
        k = U(2 * h)
        j = U(2 * h + 1)
        E[q + U(h)] = wa * Y[a + k] + wb * Y[b + k]
        O[q + U(h)] = wa * Y[a + j] + wb * Y[b + j]


@njit(pipeline_class=Distinct, **OPTIONS)
def gather3(E, O, q, Y, a, b, c, wa, wb, wc, m):
    for h in range(m):
        k = U(2 * h)
        j = U(2 * h + 1)
        E[q + U(h)] = wa * Y[a + k] + wb * Y[b + k] + wc * Y[c + k]
        O[q + U(h)] = wa * Y[a + j] + wb * Y[b + j] + wc * Y[c + j]


@njit(pipeline_class=Distinct, **OPTIONS)
def gather_table(F, q, Y, y, nt, index, t, weight, p, count, m):
    for h in range(m):
        i = index + U(2 * h + p)
        j = weight + U(2 * h + p)
        v = T(0)
        for tap in range(TAPS):
            v += t[j + U(tap * count)] * Y[y + U(nt[i + U(tap * count)])]
        F[q + U(h)] = v


@njit(pipeline_class=Distinct, **OPTIONS)
def spread4(Y, y, A, B, a, b, c, d, wa, wb, wc, wd, m, fresh):
    """Even coarse sites lie in A in rows a, d and in B in rows b, c; odd ones the other way."""
    if fresh:
        for h in range(m):
            k = U(h)
            Y[y + U(2 * h)] = wa * A[a + k] + wb * B[b + k] + wc * B[c + k] + wd * A[d + k]
            Y[y + U(2 * h + 1)] = wa * B[a + k] + wb * A[b + k] + wc * A[c + k] + wd * B[d + k]
    else:
        for h in range(m):
            k = U(h)
            Y[y + U(2 * h)] += wa * A[a + k] + wb * B[b + k] + wc * B[c + k] + wd * A[d + k]
            Y[y + U(2 * h + 1)] += wa * B[a + k] + wb * A[b + k] + wc * A[c + k] + wd * B[d + k]


@njit(pipeline_class=Distinct, **OPTIONS)
def spread2(Y, y, A, B, a, b, wa, wb, m, fresh):
    if fresh:
        for h in range(m):
            k = U(h)
            Y[y + U(2 * h)] = wa * A[a + k] + wb * B[b + k]
            Y[y + U(2 * h + 1)] = wa * B[a + k] + wb * A[b + k]
    else:
        for h in range(m):
            k = U(h)
            Y[y + U(2 * h)] += wa * A[a + k] + wb * B[b + k]
            Y[y + U(2 * h + 1)] += wa * B[a + k] + wb * A[b + k]


@njit(pipeline_class=Distinct, **OPTIONS)
def spread1(Y, y, A, B, a, wa, m, fresh):
    if fresh:
        for h in range(m):
            Y[y + U(2 * h)] = wa * A[a + U(h)]
            Y[y + U(2 * h + 1)] = wa * B[a + U(h)]
    else:
        for h in range(m):
            Y[y + U(2 * h)] += wa * A[a + U(h)]
            Y[y + U(2 * h + 1)] += wa * B[a + U(h)]


@njit(pipeline_class=Distinct, **OPTIONS)
def place2(A, q, Y, y, wa, wb, m, assign):
    if assign:
        for h in range(m):
            A[q + U(h)] = wa * Y[y + U(h)] + wb * Y[y + U(h + 1)]
    else:
        for h in range(m):
            A[q + U(h)] += wa * Y[y + U(h)] + wb * Y[y + U(h + 1)]


@njit(pipeline_class=Distinct, **OPTIONS)
def place_same(A, q, Y, y, m, assign):
    if assign:
        for h in range(m):
            A[q + U(h)] = Y[y + U(2 * h)]
    else:
        for h in range(m):
            A[q + U(h)] += Y[y + U(2 * h)]


@njit(pipeline_class=Distinct, **OPTIONS)
def place_table(A, q, Y, y, nt, index, t, weight, p, m, assign):
    for h in range(m):
        w = t[weight + U(2 * h + p)]
        j = y + U(nt[index + U(2 * h + p)])
        v = (T(1) - w) * Y[j] + w * Y[j + U(1)]
        A[q + U(h)] = v if assign else A[q + U(h)] + v

'''


# What ends the sum of fine rows, and how a coarse row is made of it.
_COARSE_ROW = '''\
    if many == 1:
        mix1(Y, y, S, a, wa, wide, fresh)
    elif many == 2:
        mix4(Y, y, S, a, b, b, b, wa, wb, T(0), T(0), wide, fresh)
    elif many == 3:
        mix4(Y, y, S, a, b, c, c, wa, wb, wc, T(0), wide, fresh)


@njit(**OPTIONS)
def restrict_row(E, O, q, n, Y, y, nt, t, g, o):
    """A coarse row from scratch: E takes its even sites."""
    half = g[o + HALF]
    mode = g[o + MODE]
    index = g[o + ROWFROM]
    weight = g[o + ROWMEAN]
    even = (n + 1) >> 1
    odd = n >> 1
    if mode == BY_SAME:
        mix1(E, q, Y, y, T(1), even, mode == BY_SAME)
        mix1(O, q, Y, y + U(half), T(1), odd, mode == BY_SAME)
    elif mode == BY_TABLE:
        gather_table(E, q, Y, y, nt, U(index), t, U(weight), 0 * n, n, even)
        gather_table(O, q, Y, y, nt, U(index), t, U(weight), 1 + 0 * n, n, odd)
    else:
        # Away from the ends the taps of coarse site i are those of site 2 moved by i - 2.
        r = weight + 2
        a = y + U(nt[index + 2] - 2)
        b = y + U(nt[index + 2 + n] - 2)
        if t[r + 2 * n] == T(0):
            gather2(E, O, q, Y, a, b, t[r], t[r + n], odd)
        else:
            gather3(E, O, q, Y, a, b, y + U(nt[index + 2 + 2 * n] - 2), t[r], t[r + n], t[r + 2 * n], odd)
        for end in range(2):
            i = 0 if end == 0 else n - 1
            v = T(0)
            for tap in range(TAPS):
                v += t[weight + tap * n + i] * Y[y + U(nt[index + tap * n + i])]
            if i & 1 == 0:
                E[q + U(i >> 1)] = v
            else:
                O[q + U(i >> 1)] = v

'''

_SPREAD = '''\
@njit(**OPTIONS)
def spread(Y, y, A, B, p, q, s0, s1, b0, a0, b1, a1, m, fresh):
    """Four rows from q on, with steps s0, s1 and weights (b0, a0) x (b1, a1); p is the parity of the first."""
    if p:
        spread_rows(Y, y, B, A, q, s0, s1, b0, a0, b1, a1, m, fresh)
    else:
        spread_rows(Y, y, A, B, q, s0, s1, b0, a0, b1, a1, m, fresh)


@njit(**OPTIONS)
def spread_rows(Y, y, A, B, q, s0, s1, b0, a0, b1, a1, m, fresh):
    if a0 == T(0) and a1 == T(0):
        spread1(Y, y, A, B, q, b0 * b1, m, fresh)
    elif a0 == T(0) and b1 == T(0):
        spread1(Y, y, B, A, q + s1, b0 * a1, m, fresh)
    elif b0 == T(0) and a1 == T(0):
        spread1(Y, y, B, A, q + s0, a0 * b1, m, fresh)
    elif b0 == T(0) and b1 == T(0):
        spread1(Y, y, A, B, q + s0 + s1, a0 * a1, m, fresh)
    elif a0 == T(0):
        spread2(Y, y, A, B, q, q + s1, b0 * b1, b0 * a1, m, fresh)
    elif b0 == T(0):
        spread2(Y, y, B, A, q + s0, q + s0 + s1, a0 * b1, a0 * a1, m, fresh)
    elif a1 == T(0):
        spread2(Y, y, A, B, q, q + s0, b0 * b1, a0 * b1, m, fresh)
    elif b1 == T(0):
        spread2(Y, y, B, A, q + s1, q + s0 + s1, b0 * a1, a0 * a1, m, fresh)
    else:
        spread4(Y, y, A, B, q, q + s1, q + s0, q + s0 + s1, b0 * b1, b0 * a1, a0 * b1, a0 * a1, m, fresh)


'''


def transfer_text(form: Form) -> str:
    """Rows, then planes."""
    return "\n".join([_ROWS, _restrict_row(form), _restrict_plane(form), _correct_row(form), _correct_plane(form)])


def _restrict_row(form: Form) -> str:
    """Sum of the weighted fine rows below one coarse row, to scratch."""
    coarse = form.each("k#")
    text = f"""\
@njit(**OPTIONS)
def restrict_rows(Y, y, S, s, nt, t, g, o, {coarse}):
    wide = 2 * g[o + HALF]
    fresh = True
    many = 0
    a = b = c = d = U(0)
    wa = wb = wc = wd = T(0)
"""
    indent = "    "
    weight, place = "", ""
    for axis in range(form.outer):
        text += f"{indent}f{axis} = nt[g[o + FROM + {axis}] + k{axis}]\n"
        text += f"{indent}for j{axis} in range(TAPS):\n"
        indent += "    "
        weight = f"{weight}v{axis - 1} * " if axis else ""
        text += f"{indent}v{axis} = {weight}t[g[o + MEAN + {axis}] + TAPS * k{axis} + j{axis}]\n"
        text += f"{indent}if v{axis} != T(0):\n"
        indent += "    "
        weight = ""
        place = f"({place} * g[o + TOTAL + {axis}] + f{axis} + j{axis})" if axis else "((f0 + j0) % RING)"
    last = form.outer - 1
    body = f"""\
x = U(s) + U({place} * wide)
if many == 0:
    a, wa = x, v{last}
elif many == 1:
    b, wb = x, v{last}
elif many == 2:
    c, wc = x, v{last}
else:
    d, wd = x, v{last}
many += 1
if many == 4:
    mix4(Y, y, S, a, b, c, d, wa, wb, wc, wd, wide, fresh)
    fresh = False
    many = 0
"""
    text += "".join(f"{indent}{line}\n" for line in body.strip().split("\n"))
    return text + _COARSE_ROW


def _restrict_plane(form: Form) -> str:
    coarse = ", ".join(["z", *(f"i{a}" for a in range(1, form.outer))])
    index = "".join(f" + i{a}" for a in range(1, form.outer))
    place = "".join(f" + U(i{a}) * U(g[oc + STEP + {a}])" for a in range(1, form.outer))
    body = f"""\
restrict_rows(Y, y, S, s, nt, t, g, o, {coarse})
p = (g[oc + PARITY] + z{index}) & 1
q = U(g[oc + BASE]) + U(z) * U(g[oc + STEP]){place}
if p == 0:
    restrict_row(FA, FB, q, n, Y, y, nt, t, g, o)
else:
    restrict_row(FB, FA, q, n, Y, y, nt, t, g, o)
"""
    loops = form.rows("    ", "strips[row, 2 * #], strips[row, 2 * # + 1]", body)
    return f"""\
@njit(**OPTIONS)
def restrict_plane(FA, FB, S, s, Y, y, g, nt, t, o, oc, z, strips, row):
    n = g[oc + SITES]
{loops}
"""


def _correct_row(form: Form) -> str:
    return '''\
@njit(**OPTIONS)
def correct_half(A, q, p, m, Y, y, nt, t, g, o, assign):
    """Sites 2h + p of a row from the row of scratch, whose coarse site 0 is element y."""
    mode = g[o + MODE]
    index = g[o + ROWBELOW]
    weight = g[o + ROWSHARE] + 2
    if mode == BY_SAME:
        place_same(A, q, Y, y + U(p), m, assign)
    elif mode == BY_TABLE:
        place_table(A, q, Y, y, nt, U(index), t, U(weight), p, m, assign)
    else:
        w = t[weight + p]
        place2(A, q, Y, y + U(nt[index + p]), T(1) - w, w, m, assign)

'''


def _correct_plane(form: Form) -> str:
    """Adds the interpolated level below, or takes it; the pair of last outer axes is done at once."""
    body = ""
    for a in range(form.outer):
        i = "z" if a == 0 else f"i{a}"
        body += f"j{a} = nt[g[o + BELOW + {a}] + {i}]\n"
        body += f"b{a} = t[g[o + SHARE + {a}] + {i}]\n"
        body += f"a{a} = t[g[o + SHARE + {a}] + g[o + TOTAL + {a}] + {i}]\n"
    body += "fresh = True\n"
    start = " + ".join(["U(g[oc + BASE])", *(f"U(j{a}) * c{a}" for a in range(form.outer))])
    parity = "g[oc + PARITY]" + "".join(f" + j{a}" for a in range(form.outer))
    if form.outer == 3:
        body += f"""\
for up in range(2):
    v = a0 if up else b0
    if v != T(0):
        q = {start} + U(up) * c0
        spread(Y, y, A, B, ({parity} + up) & 1, q, c1, c2, v * b1, v * a1, b2, a2, m, fresh)
        fresh = False
"""
    elif form.outer == 2:
        body += f"spread(Y, y, A, B, ({parity}) & 1, {start}, c0, c1, b0, a0, b1, a1, m, True)\n"
    else:
        body += f"spread(Y, y, A, B, ({parity}) & 1, {start}, c0, c0, T(1), T(0), b0, a0, m, True)\n"
    body += """\
if g[oc + WRAP]:
    Y[y - U(1)] = Y[y + U(nc - 1)]
    Y[y + U(nc)] = Y[y]
else:
    Y[y - U(1)] = t[g[o + ROWSHARE]] * Y[y]
    Y[y + U(nc)] = t[g[o + ROWSHARE] + 1] * Y[y + U(nc - 1)]
"""
    index = "".join(f" + i{a}" for a in range(1, form.outer))
    place = "".join(f" + U(i{a}) * U(g[o + STEP + {a}])" for a in range(1, form.outer))
    body += f"""\
p = (g[o + PARITY] + z{index}) & 1
q = U(g[o + BASE]) + U(z) * U(g[o + STEP]){place}
ahead(A, q + U(AHEAD * g[o + HALF]), n >> 1)
ahead(B, q + U(AHEAD * g[o + HALF]), n >> 1)
correct_half(A, q, p, (n + 1 - p) >> 1, Y, y, nt, t, g, o, assign)
correct_half(B, q, 1 - p, (n + p) >> 1, Y, y, nt, t, g, o, assign)
"""
    steps = "".join(f"    c{a} = U(g[oc + STEP + {a}])\n" for a in range(form.outer))
    loops = form.rows("    ", "strips[row, col + 2 * #], strips[row, col + 2 * # + 1]", body)
    return f"""\
{_SPREAD}@njit(**OPTIONS)
def correct_plane(assign, A, B, Y, y, g, nt, t, o, oc, z, strips, row, col):
    n = g[o + SITES]
    nc = g[oc + SITES]
    m = (nc + 1) >> 1
{steps}{loops}
"""
