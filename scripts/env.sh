# Run-time environment of hpcsim; source it: . scripts/env.sh
# Values already set are kept.
hpcsim_root=$(cd "$(dirname "${BASH_SOURCE[0]:-$0}")/.." && pwd)
case ":$PATH:" in
  *":$hpcsim_root/.venv/bin:"*) ;;
  *) export PATH="$hpcsim_root/.venv/bin:$PATH" ;;
esac
unset hpcsim_root

# Without this the system's h5py is the serial one under srun.
export H5PY_ALWAYS_USE_MPI="${H5PY_ALWAYS_USE_MPI:-1}"
# Waiting ranks give way, so that more ranks than cores still advance.
export OMPI_MCA_mpi_yield_when_idle="${OMPI_MCA_mpi_yield_when_idle:-1}"
# One thread a rank for the libraries; hpcsim sets its own number from run.threads.
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
export OPENBLAS_NUM_THREADS="${OPENBLAS_NUM_THREADS:-1}"
# Open MPI refuses to start as root; containers and test machines have no other user.
if [ "$(id -u)" = 0 ]; then
  export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
fi
