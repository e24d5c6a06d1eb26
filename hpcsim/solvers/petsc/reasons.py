"""Why an iteration of PETSc ended, in words.

Numbers and meanings are those of KSPConvergedReason, SNESConvergedReason and TSConvergedReason in the PETSc manual.
"""

from __future__ import annotations

_LINEAR = {
    9: "absolute tolerance of the normal equations reached",
    7: "step length reached",
    6: "step on the boundary of the trust region",
    5: "negative curvature found",
    4: "the asked number of iterations was done",
    3: "absolute tolerance reached",
    2: "relative tolerance reached",
    1: "relative tolerance of the normal equations reached",
    0: "still iterating",
    -2: "the method was broken off",
    -3: "too many iterations",
    -4: "the residual grew beyond the divergence tolerance",
    -5: "the method broke down",
    -6: "BiCG broke down: the initial residual is orthogonal to the preconditioned one",
    -7: "the matrix or the preconditioner is not symmetric, which this method needs (try ksp_type gmres)",
    -8: "the preconditioner is indefinite, which this method cannot use (try ksp_type gmres)",
    -9: "NaN or Inf in the residual",
    -10: "the matrix is indefinite, which this method cannot use (try ksp_type minres or gmres)",
    -11: "the preconditioner could not be set up",
}
_NONLINEAR = {
    2: "absolute tolerance reached",
    3: "relative tolerance reached",
    4: "the step became small against the solution",
    5: "the asked number of iterations was done",
    0: "still iterating",
    -1: "the solution left the domain of the residual",
    -2: "too many evaluations of the residual",
    -3: "the linear solve failed",
    -4: "NaN in the residual",
    -5: "too many iterations",
    -6: "the line search failed",
    -7: "an inner solve failed",
    -8: "a local minimum of the residual that is no solution",
    -9: "the residual grew beyond the divergence tolerance",
    -10: "the solution left the domain of the Jacobian",
    -11: "the trust region became too small",
}
_TIME = {
    0: "still stepping",
    1: "final time reached",
    2: "the asked number of steps was done before the final time",
    3: "ended by a user function",
    4: "ended by an event",
    -1: "a nonlinear solve failed",
    -2: "too many rejected steps",
}
FAILED_LINEAR = "the linear solve failed"


def linear_reason(code: int) -> str:
    """Why a Krylov method ended.

    Examples
    --------
    >>> linear_reason(2), linear_reason(-99)
    ('relative tolerance reached', 'reason -99 of PETSc')
    """
    return _LINEAR.get(code, f"reason {code} of PETSc")


def nonlinear_reason(code: int) -> str:
    """Why a nonlinear iteration ended."""
    return _NONLINEAR.get(code, f"reason {code} of PETSc")


def time_reason(code: int) -> str:
    """Why a time integration ended."""
    return _TIME.get(code, f"reason {code} of PETSc")
