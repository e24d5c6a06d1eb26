"""Machine code of compiled loops, kept on disk and loaded without the compiler.

Numba takes most of a second to import and reads thousands of files, which a thousand ranks on a shared disk feel. So
it is imported only when something must be compiled. What it compiles is kept as an object file, which LLVM's small
loader links into later processes within milliseconds.
"""
