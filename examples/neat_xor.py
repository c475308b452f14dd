"""Networks that evolve and learn: genomes of neat-python, tuned by Adam between generations.

neat-python evolves who is connected to whom, and draws weights at random. Here, every few
generations, the best genome of each species becomes a network, its weights and biases learn from a
whole batch, and go back into its genes, with which evolution goes on. The same populations evolve
without that, too. Tasks are XOR, and a pole to be balanced on a cart from 64 starts at once, where
the gradient goes through the physics.

    python examples/neat_xor.py [--seeds 3] [--rounds 4] [--generations 5] [--plot neat_xor.png]
"""

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import neat
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from neat.reporting import BaseReporter
from torch import Tensor

import edgelinear as el

POPULATION = 40
BLUE, ORANGE, GREY = "#2f5d8c", "#c8722c", "#b0b0b0"


class Task(NamedTuple):
    name: str
    inputs: list[str]
    score: Callable[[el.EdgeNetwork], Tensor]  # at most 1, differentiable
    steps: int  # of Adam, and its rate
    rate: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--generations", type=int, default=5, help="of each round")
    parser.add_argument("--steps", type=int, default=None, help="of Adam, if not the task's own")
    parser.add_argument("--plot", type=Path, default=Path("neat_xor.png"))
    arguments = parser.parse_args()

    torch.manual_seed(0)
    tasks = [
        Task("XOR", ["a", "b"], xor, 60, 3e-2),
        Task("pole on a cart", ["place", "speed", "angle", "turning"], balance, 30, 3e-2),
    ]
    figure = Figure(figsize=(10, 7.5), layout="constrained")
    panels = figure.subplots(2, 2)
    for task, (left, right) in zip(tasks, panels, strict=True):
        if arguments.steps is not None:
            task = task._replace(steps=arguments.steps)
        print(f"{task.name}, best score of the last generation:")
        curves: dict[str, list[list[float]]] = {"evolution alone": [], "evolution and Adam": []}
        for seed in range(arguments.seeds):
            for kind, found in curves.items():
                tune = kind == "evolution and Adam"
                scores, best = evolve(task, seed, arguments.rounds, arguments.generations, tune)
                found.append(scores)
                print(f"  seed {seed}, {kind:18} {scores[-1]:.4f}")
        draw_curves(left, task.name, curves, arguments.generations)
        draw_network(right, best, task.inputs)
    figure.savefig(arguments.plot, dpi=120)
    print(f"the picture is in {arguments.plot}")


def evolve(
    task: Task, seed: int, rounds: int, generations: int, tune: bool
) -> tuple[list[float], el.EdgeNetwork]:
    """Return the best score of each generation, and the network of the last one's best genome."""
    config = configuration(len(task.inputs))
    population = neat.Population(config, seed=seed)

    def measure(genomes: list, config: neat.Config) -> None:
        for _, genome in genomes:
            if genome.fitness is not None:  # one that stayed
                continue
            with torch.no_grad():
                genome.fitness = float(task.score(el.EdgeNetwork.from_neat(genome, config)))

    history = History()
    population.add_reporter(history)
    best = None
    for _ in range(rounds):
        population.run(measure, generations)
        measure(list(population.population.items()), config)
        if tune:
            for species in population.species.species.values():  # the best of each
                learn(task, max(species.members.values(), key=fitness), config)
        best = max(population.population.values(), key=fitness)
    assert best is not None
    return [*history.scores, best.fitness], el.EdgeNetwork.from_neat(best, config)


def fitness(genome: neat.DefaultGenome) -> float:
    return genome.fitness


def learn(task: Task, genome: neat.DefaultGenome, config: neat.Config) -> None:
    """Train the weights and biases of a genome where it stands, and leave it the best of them."""
    net = el.EdgeNetwork.from_neat(genome, config)
    net.response.requires_grad_(False)
    optimizer = torch.optim.Adam([net.weight, net.bias], lr=task.rate)
    for _ in range(task.steps):
        optimizer.zero_grad()
        score = task.score(net)
        if float(score.detach()) > genome.fitness:
            net.to_neat(genome)
            genome.fitness = float(score.detach())
        (-score).backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()


def xor(net: el.EdgeNetwork) -> Tensor:
    """Return how well a network computes XOR of -1 and 1, all four cases at once."""
    x = torch.tensor([[-1, -1], [-1, 1], [1, -1], [1, 1]], dtype=torch.float64)
    return 1 - (net(x)[:, 0] + x.prod(1)).square().mean()


def balance(net: el.EdgeNetwork, starts: int = 64, steps: int = 60) -> Tensor:
    """Return how near to upright and to the middle a network keeps a pole, from many starts.

    The equations are those of Barto, Sutton and Anderson (1983), without friction.
    """
    gravity, masses, pole, half, seconds = 9.8, 1.1, 0.1, 0.5, 0.05
    generator = torch.Generator().manual_seed(0)
    start = torch.rand(4, starts, dtype=torch.float64, generator=generator) * 2 - 1
    place, speed, angle, turning = start * torch.tensor([[1.0], [0.5], [0.6], [0.5]])
    total = torch.zeros(())
    for _ in range(steps):
        force = 10 * net(torch.stack([place, speed, angle, turning], 1))[:, 0]
        sin, cos = angle.sin(), angle.cos()
        push = (force + pole * half * turning.square() * sin) / masses
        twist = (gravity * sin - cos * push) / (half * (4 / 3 - pole * cos.square() / masses))
        speed = speed + seconds * (push - pole * half * twist * cos / masses)
        turning = turning + seconds * twist
        place, angle = place + seconds * speed, angle + seconds * turning
        total = total + torch.exp(-4 * angle.square() - place.square() / 4).mean()
    return total / steps


class History(BaseReporter):
    """The best score of each generation."""

    def __init__(self) -> None:
        self.scores: list[float] = []

    def post_evaluate(self, config: neat.Config, population: dict, species: object, best) -> None:
        self.scores.append(best.fitness)


def configuration(inputs: int) -> neat.Config:
    numbers = ""
    for name, mean, spread, most in (
        ("weight", 0, 1, 8),
        ("bias", 0, 0.5, 8),
        ("response", 1, 0, 1),
    ):
        rates = f"{name}_mutate_rate = 0.6\n{name}_replace_rate = 0.05\n{name}_mutate_power = 0.4\n"
        numbers += f"{name}_init_mean = {mean}\n{name}_init_stdev = {spread}\n{rates}"
        numbers += f"{name}_max_value = {most}\n{name}_min_value = {min(-most, 2 * mean - 1, 1)}\n"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "neat.ini")
        path.write_text(CONFIG.format(inputs=inputs, population=POPULATION, numbers=numbers))
        return neat.Config(
            neat.DefaultGenome,
            neat.DefaultReproduction,
            neat.DefaultSpeciesSet,
            neat.DefaultStagnation,
            str(path),
        )


CONFIG = """
[NEAT]
pop_size = {population}
fitness_criterion = max
fitness_threshold = 1
no_fitness_termination = True
reset_on_extinction = True

[DefaultGenome]
num_inputs = {inputs}
num_outputs = 1
num_hidden = 2
feed_forward = True
initial_connection = full_direct
single_structural_mutation = False
structural_mutation_surer = default
compatibility_disjoint_coefficient = 1.0
compatibility_weight_coefficient = 0.5
conn_add_prob = 0.4
conn_delete_prob = 0.1
node_add_prob = 0.3
node_delete_prob = 0.1
activation_default = tanh
activation_mutate_rate = 0.05
activation_options = tanh sigmoid gauss
aggregation_default = sum
aggregation_mutate_rate = 0.0
aggregation_options = sum
enabled_default = True
enabled_mutate_rate = 0.01
{numbers}

[DefaultSpeciesSet]
compatibility_threshold = 3.0

[DefaultStagnation]
species_fitness_func = max
max_stagnation = 15
species_elitism = 2

[DefaultReproduction]
elitism = 2
survival_threshold = 0.2
min_species_size = 2
"""


def draw_curves(
    panel: Axes, name: str, curves: dict[str, list[list[float]]], generations: int
) -> None:
    for (kind, found), color in zip(curves.items(), (GREY, BLUE), strict=True):
        for scores in found:
            panel.plot(scores, color=color, linewidth=0.8, alpha=0.7)
        mean = torch.tensor(found).mean(0)
        panel.plot(mean, color=color, linewidth=2.5, label=kind)
    for generation in range(generations, len(mean), generations):
        panel.axvline(generation, color=ORANGE, linewidth=0.8, linestyle=":")
    panel.axvline(generations, color=ORANGE, linewidth=0.8, linestyle=":", label="Adam")
    panel.set(title=name, xlabel="generation", ylabel="best score")
    panel.xaxis.get_major_locator().set_params(integer=True)
    panel.legend(loc="lower right")
    panel.spines[["top", "right"]].set_visible(False)


def draw_network(panel: Axes, net: el.EdgeNetwork, inputs: list[str]) -> None:
    """Draw nodes by level, and edges as wide as they are strong, negative ones in orange."""
    level = net.level.tolist()
    places: dict[int, tuple[float, float]] = {}
    for column in range(net.num_levels):
        nodes = [node for node in range(net.num_nodes) if level[node] == column]
        for row, node in enumerate(nodes):
            height = (row + 0.5) / len(nodes) + 0.06 * (column % 2)  # so that skips pass beside
            places[node] = (column, 1 - height)
    for (source, target), weight in zip(
        net.edge_index.T.tolist(), net.weight.tolist(), strict=True
    ):
        panel.plot(
            *zip(places[source], places[target], strict=True),
            color=BLUE if weight > 0 else ORANGE,
            linewidth=0.3 + min(abs(weight), 8),
            alpha=0.6,
            zorder=1,
        )
    activations = net.activations
    for node, (x, y) in places.items():
        is_input = level[node] == 0
        panel.scatter(x, y, s=180, color="white", edgecolor="black", zorder=2)
        kind = activations[node]
        label = inputs[node] if is_input else getattr(kind, "name", str(kind))
        panel.annotate(label, (x, y), (0, 11), textcoords="offset points", ha="center", fontsize=8)
    panel.set(title="the last best genome: blue excites, orange inhibits", ylim=(-0.15, 1.15))
    panel.margins(x=0.12)
    panel.set_axis_off()


if __name__ == "__main__":
    main()
