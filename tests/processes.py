"""Processes of one group, which do pieces of work one after the other."""

import datetime
import os
import traceback

import torch
import torch.distributed as dist
import torch.multiprocessing as mp


def in_processes(work, path, number=2):
    """Return a function that gives what a piece of work returned in each process.

    Args:
        work: functions of a path and a rank, by name.
        path: the folder for what the processes leave.
        number: how many processes there are.
    """
    context = mp.get_context("spawn")
    workers = [
        context.Process(target=run, args=(work, rank, number, str(path))) for rank in range(number)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(300)
        worker.kill()
    outcomes = [torch.load(path / f"results{r}.pt", weights_only=False) for r in range(number)]

    def results_of(function):
        done = all(function.__name__ in results for results, _ in outcomes)
        assert done, "\n".join(f"rank {r}: {error}" for r, (_, error) in enumerate(outcomes))
        return [results[function.__name__] for results, _ in outcomes]

    return results_of


def run(work, rank, number, path):
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo",
        init_method=f"file://{path}/rendezvous",
        rank=rank,
        world_size=number,
        timeout=datetime.timedelta(seconds=60),
    )
    results, error = {}, "it did not run"
    try:
        for name, function in work.items():
            results[name] = function(path, rank)
            dist.barrier()
    except BaseException:
        error = traceback.format_exc()
    torch.save((results, error), f"{path}/results{rank}.pt")
    os._exit(0)  # the group of a failed process would wait for the other
