"""Communication: contexts, exchange plans and strategies, launch checks, abort and watchdog; the user of mpi4py."""
