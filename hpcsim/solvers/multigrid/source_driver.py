"""Source of the drivers: the stages of a strip of planes, and the interpreter of programs."""

from __future__ import annotations

from hpcsim.solvers.multigrid.source import Form

ARGUMENTS = "code, ops, strips, runs, g, nt, t, par, A, B, FA, FB, PA, PB, W, S, Y, Z, R, X, V, D, sc, sums"
"""Arguments of a program: tables, then pools of both colours, then scratch, then arrays in natural order."""


def driver_text(form: Form) -> str:
    """The strip, the copies, the direct solve, the interpreter."""
    return "\n".join([_copies(), _stage(form), _strip(form), _plane_ends(form), _direct(form), _run(form)])


def _stage(form: Form) -> str:
    """Run one stage on plane z; a chain of tests that costs nothing beside a plane."""
    polynomial = f"    else:\n        poly_stage(op, alpha, beta, {_PLANE})\n" if form.polynomial else ""
    before = _poly_stage(form) if form.polynomial else ""
    return f"""\
{before}@njit(**OPTIONS)
def stage(op, alpha, beta, {_PLANE}):
    # Variables, for Numba would compile a function anew for every literal.
    kind, red, black, first = 2, 0, 1, True
    if op == OP_START:
        kind = 0
    elif op == OP_FRESH:
        kind = 1
    elif op == OP_CORRECT or op == OP_ADD:
        first = False
    if op == OP_RELAX0 or op == OP_START:
        relax_plane(kind, T(alpha), A, B, FA, W, g, t, o, red, z, strips, row, col)
    elif op == OP_RELAX1 or op == OP_FRESH:
        relax_plane(kind, T(alpha), B, A, FB, W, g, t, o, black, z, strips, row, col)
    elif op == OP_RESTRICT:
        residual_plane(S, s, A, B, FA, W, g, t, o, red, z, strips, row, col)
        residual_plane(S, s, B, A, FB, W, g, t, o, black, z, strips, row, col)
    elif op == OP_INJECT:
        source_plane(S, s, FA, g, o, red, z, strips, row, col)
        source_plane(S, s, FB, g, o, black, z, strips, row, col)
    elif op == OP_CORRECT or op == OP_ASSIGN:
        correct_plane(first, A, B, Y, U(y), g, nt, t, o, oc, z, strips, row, col)
    elif op == OP_ADD or op == OP_SET:
        add_plane(X, A, B, sc[SCALE_OUTWARD], first, g, o, z, strips, row, col)
    elif op == OP_RESIDUAL:
        defect_plane(FA, FB, R, X, V, Z, U(zz), sums, sc[SCALE_INWARD], sc[SCALE_MEAN], g, nt, o, z, strips, row, col)
    elif op == OP_LOAD:
        load_plane(FA, FB, R, Z, U(zz), sums, sc[SCALE_INWARD], sc[SCALE_MEAN], g, o, z, strips, row, col)
    elif op == OP_OPERATE:
        operate_plane(R, X, V, Z, U(zz), g, nt, o, z, strips, row, col)
{polynomial}
"""


_PLANE = "o, oc, z, row, col, s, y, zz, strips, g, nt, t, A, B, FA, FB, PA, PB, W, S, Y, Z, R, X, V, sc, sums"


def _poly_stage(form: Form) -> str:
    """Steps of the polynomial smoother."""
    place = " + ".join(["g[o + BASE] + z * g[o + STEP]", *(f"i{a} * g[o + STEP + {a}]" for a in range(1, form.outer))])
    take = f"q = U({place})\ncopy_run(A, PA, q, q, m)\ncopy_run(B, PB, q, q, m)"
    return f"""\
@njit(**OPTIONS)
def poly_stage(op, alpha, beta, {_PLANE}):
    # Variables, for Numba would compile a function anew for every literal.
    kind, red, black, none = (0, 0, 1, 0.0) if op >= 0 else (1, 1, 0, 1.0)
    if op == OP_POLYU0:
        relax_plane(kind, T(alpha), A, B, FA, W, g, t, o, red, z, strips, row, col)
        relax_plane(kind, T(alpha), B, A, FB, W, g, t, o, black, z, strips, row, col)
        relax_plane(kind, T(none), PA, PB, FA, W, g, t, o, red, z, strips, row, col)
        relax_plane(kind, T(none), PB, PA, FB, W, g, t, o, black, z, strips, row, col)
    elif op == OP_POLYV0:
        relax_plane(kind, T(alpha), PA, PB, FA, W, g, t, o, red, z, strips, row, col)
        relax_plane(kind, T(alpha), PB, PA, FB, W, g, t, o, black, z, strips, row, col)
        relax_plane(kind, T(none), A, B, FA, W, g, t, o, red, z, strips, row, col)
        relax_plane(kind, T(none), B, A, FB, W, g, t, o, black, z, strips, row, col)
    elif op == OP_POLYU:
        poly_plane(T(alpha), T(beta), A, PA, PB, FA, W, g, t, o, red, z, strips, row, col)
        poly_plane(T(alpha), T(beta), B, PB, PA, FB, W, g, t, o, black, z, strips, row, col)
    elif op == OP_POLYV:
        poly_plane(T(alpha), T(beta), PA, A, B, FA, W, g, t, o, red, z, strips, row, col)
        poly_plane(T(alpha), T(beta), PB, B, A, FB, W, g, t, o, black, z, strips, row, col)
    elif op == OP_TAKE:
        take_plane(A, B, PA, PB, g, o, z, strips, row, col)


@njit(**OPTIONS)
def take_plane(A, B, PA, PB, g, o, z, strips, row, col):
    m = (g[o + SITES] + 1) >> 1
{form.rows("    ", "strips[row, col + 2 * #], strips[row, col + 2 * # + 1]", take)}

"""


def _strip(form: Form) -> str:
    """Stage j works lag(j) planes behind stage 0; a coarse plane is made when its last residual is there."""
    head = 2 * form.outer
    return f"""\
@njit(**OPTIONS)
def strip(k, row, part, parts, {ARGUMENTS}):
    o = code[k, 1] * WIDTH
    oc = code[k, 2] * WIDTH
    first = code[k, 3]
    many = code[k, 4]
    s = part * (S.size // parts)
    y = part * (Y.size // parts) + MARGIN
    zz = part * (Z.size // parts)
    begin = 1 << 60
    end = -begin
    for j in range(many):
        col = {head} + {head} * j
        if strips[row, col] < strips[row, col + 1]:
            begin = min(begin, strips[row, col] + ops[first + j, 1])
            end = max(end, strips[row, col + 1] + ops[first + j, 1])
    coarse = strips[row, 0]
    for front in range(begin, end):
        for j in range(many):
            z = front - ops[first + j, 1]
            col = {head} + {head} * j
            if z < strips[row, col] or z >= strips[row, col + 1]:
                continue
            op = ops[first + j, 0]
            alpha = par[ops[first + j, 2]]
            beta = par[ops[first + j, 2] + 1]
            stage(op, alpha, beta, {_PLANE})
            if op == OP_RESTRICT or op == OP_INJECT:
                if alpha != 0.0:
                    norm_plane(S, s, sums, g, o, z, strips, row, col)
                while coarse < strips[row, 1] and last_source(g, nt, t, o, coarse) <= z:
                    restrict_plane(FA, FB, S, U(s), Y, U(y), g, nt, t, o, oc, coarse, strips, row)
                    coarse += 1


"""


def _plane_ends(form: Form) -> str:
    """The last plane that a coarse plane needs, and the norm of a plane."""
    return f"""\
@njit(**OPTIONS)
def last_source(g, nt, t, o, k):
    \"\"\"Last fine plane that coarse plane k takes residuals from.\"\"\"
    last = nt[g[o + FROM] + k]
    for j in range(1, TAPS):
        if t[g[o + MEAN] + TAPS * k + j] != T(0):
            last = nt[g[o + FROM] + k] + j
    return last


@njit(**OPTIONS)
def norm_plane(S, s, sums, g, o, z, strips, row, col):
    \"\"\"Squares of the residuals of the own rows of plane z.\"\"\"
    n = g[o + SITES]
    half = g[o + HALF]
    if z < g[o + FIRST] or z >= g[o + LAST]:
        return
{
        form.rows(
            "    ",
            "max(strips[row, col + 2 * #], g[o + FIRST + #]), min(strips[row, col + 2 * # + 1], g[o + LAST + #])",
            _norm_body(form),
        )
    }
"""


def _norm_body(form: Form) -> str:
    place, number = "(z % RING)", "z"
    for a in range(1, form.outer):
        place = f"({place} * g[o + TOTAL + {a}] + i{a})"
        number = f"({number}) * g[o + TOTAL + {a}] + i{a}"
    return f"""\
x = U(s) + U(2 * {place} * half)
sums[{number}] = square_row(S, x, (n + 1) >> 1) + square_row(S, x + U(half), n >> 1)
"""


def _copies() -> str:
    return """\
@njit(pipeline_class=Distinct, **OPTIONS)
def copy_run(A, B, a, b, m):
    for h in range(m):
        A[a + U(h)] = B[b + U(h)]


@njit(**OPTIONS)
def copy_runs(first, many, runs, A, B):
    \"\"\"Ghosts from own rows; a run changes colour where an odd periodic axis is crossed.\"\"\"
    for k in range(first, first + many):
        source = U(runs[k, 0])
        target = U(runs[k, 1])
        m = runs[k, 2]
        if runs[k, 3]:
            copy_run(A, B, target, source, m)
            copy_run(B, A, target, source, m)
        else:
            for h in range(m):
                A[target + U(h)] = A[source + U(h)]
            for h in range(m):
                B[target + U(h)] = B[source + U(h)]


@njit(pipeline_class=Distinct, **OPTIONS)
def move_runs(C, runs, A, B, pack):
    \"\"\"Between both colours and a message; a run of length m takes 2m places.\"\"\"
    for k in range(runs.shape[0]):
        site = U(runs[k, 0])
        place = U(runs[k, 1])
        m = runs[k, 2]
        if pack:
            for h in range(m):
                C[place + U(h)] = A[site + U(h)]
            for h in range(m):
                C[place + U(m + h)] = B[site + U(h)]
        elif runs[k, 3]:
            for h in range(m):
                B[site + U(h)] = C[place + U(h)]
            for h in range(m):
                A[site + U(h)] = C[place + U(m + h)]
        else:
            for h in range(m):
                A[site + U(h)] = C[place + U(h)]
            for h in range(m):
                B[site + U(h)] = C[place + U(m + h)]

"""


def _direct(form: Form) -> str:
    loops, indent = "", "    "
    for a in range(form.outer):
        loops += f"{indent}for i{a} in range(g[o + FIRST + {a}], g[o + LAST + {a}]):\n"
        indent += "    "
    place = " + ".join(["g[o + BASE]", *(f"i{a} * g[o + STEP + {a}]" for a in range(form.outer))])
    parity = " + ".join(["g[o + PARITY]", *(f"i{a}" for a in range(form.outer))])

    def body(put: str) -> str:
        lines = f"""\
q = {place}
p = ({parity}) & 1
for x in range(n):
    k = U(q + (x >> 1))
    {put}
    i += 1
"""
        return loops + "".join(f"{indent}{line}\n" for line in lines.strip().split("\n"))

    get = "Y[U(i)] = FA[k] if (x + p) & 1 == 0 else FB[k]"
    return f"""\
@njit(pipeline_class=Distinct, **SUMS)
def product(D, d, Y, y, m):
    total = T(0)
    for h in range(m):
        total += D[d + U(h)] * Y[y + U(h)]
    return total


@njit(**OPTIONS)
def direct(k, code, g, A, B, FA, FB, Y, D):
    \"\"\"Inverse of the coarsest level times its right side.\"\"\"
    o = code[k, 1] * WIDTH
    n = g[o + SITES]
    i = 0
{body(get)}    many = i
    zero = U(many - i)
    i = 0
{
        body('''v = product(D, U(i * many), Y, zero, many)
    if (x + p) & 1 == 0:
        A[k] = v
    else:
        B[k] = v''')
    }
"""


def _run(form: Form) -> str:
    """Strips of the first phase are apart by what the second phase fills in between."""
    loop = "prange" if form.parallel else "range"
    return f"""\
@njit(parallel={form.parallel}, **OPTIONS)
def run(begin, end, parts, {ARGUMENTS}):
    for k in range(begin, end):
        if code[k, 0] == IN_PASS:
            row = code[k, 5]
            many = code[k, 6]
            tiles = code[k, 7]
            only = k - k
            if many == 1:
                for i in range(tiles):
                    strip(k, row + i, only, parts, {ARGUMENTS})
            else:
                for part in {loop}(many):
                    for i in range(tiles):
                        strip(k, row + part * tiles + i, part, parts, {ARGUMENTS})
                row += many * tiles
                for part in {loop}(many - 1):
                    strip(k, row + part, part, parts, {ARGUMENTS})
        elif code[k, 0] == IN_COPY:
            if code[k, 1] == 0:
                copy_runs(code[k, 2], code[k, 3], runs, A, B)
            elif code[k, 1] == 1:
                copy_runs(code[k, 2], code[k, 3], runs, FA, FB)
            else:
                copy_runs(code[k, 2], code[k, 3], runs, PA, PB)
        else:
            direct(k, code, g, A, B, FA, FB, Y, D)
"""
