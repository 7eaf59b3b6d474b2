"""Where runs are computed: the scheduler, worker processes, sandboxed code. May not: decide what is run or better."""
