"""Verbs that work: mutate, train, sweep, compare, sample, data, revert."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from foundry.core import places
from foundry.documents import recipes, runs
from foundry.documents.budget import Reverted
from foundry.documents.comparison import Comparison, Comparisons
from foundry.documents.sweep import Sweep
from foundry.interface import options
from foundry.interface.cli_page import leave
from foundry.interface.report import pair_line

if TYPE_CHECKING:
    from foundry.compare.session import Lab

BASELINE = options.BASELINE
data_app = typer.Typer(no_args_is_help=True, help="Prepared data.")


def register(app: typer.Typer) -> None:
    for verb, then in ((mutate, None), (train, None), (sweep, leave), (compare, leave)):
        app.command(verb.__name__, rich_help_panel="The loop")(options.command(verb, then))
    for verb in (sample, revert):
        app.command(verb.__name__, rich_help_panel="After it")(options.command(verb))
    data_app.command("prepare")(options.command(data))
    app.add_typer(data_app, name="data", rich_help_panel="After it")


@contextmanager
def bench(how: options.Execution, display: options.Display, jobs: int = 1, retry: bool = False) -> Iterator[Lab]:
    """A lab that tells the display of its runs."""
    from foundry.compare.session import Lab, Settings
    from foundry.execute.result import Limits

    limits = Limits(how.wall_seconds, how.stall_seconds, int(how.memory_gb * 1e9))
    settings = Settings(jobs, how.device, how.judged_bytes, limits, retry)
    with Lab(settings, display, display.say) as lab:
        yield lab


def mutate(
    family: Annotated[str | None, typer.Argument(help="A family, or a whole mutation such as norm:rmsnorm.")] = None,
    variant: Annotated[str | None, typer.Argument(help="A variant of the family.")] = None,
    baseline: Annotated[Path, typer.Option(help="The recipe to change.")] = BASELINE,
    force: Annotated[bool, typer.Option("--force", help="Overwrite a file that was edited by hand.")] = False,
) -> recipes.Catalogue | recipes.Mutated:
    """Write a mutated recipe to experiments/; without arguments, list all families and variants.

    Examples: foundry mutate attention gqa_2kv · foundry mutate attention:gqa_2kv+norm:rmsnorm ·
    foundry mutate set:train.optimizer.lr=2e-3
    """
    if family is None:
        from foundry.mutate.catalogue import catalogue

        return catalogue()
    from foundry.mutate import parse, write

    return write(baseline, parse(family, variant), places.experiments(), force=force).document


def train(
    recipe: Annotated[Path, typer.Argument(help="A recipe; with --weights also the id of a run.")],
    seed: options.Seed = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Insist on going on from a checkpoint.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Forget this run's checkpoint and result first.")] = False,
    weights: Annotated[bool, typer.Option("--weights", help="Make the weights again where they are gone.")] = False,
    retry: options.Retry = False,
    *,
    how: options.Execution,
    display: options.Display,
) -> runs.Trained | None:
    """Train one recipe and score it. Ctrl-C saves; the same command goes on.

    Examples: foundry train experiments/baseline.yaml --seed 3 ·
    torchrun --nproc-per-node 2 src/train.py experiments/baseline.yaml
    """
    from foundry.compare.training import train as verb

    with bench(how, display, retry=retry) as lab:
        result = verb(lab, recipe, seed, resume, fresh, weights)
    return result and result.document


def sweep(
    mutations: Annotated[list[str], typer.Argument(help="FAMILY VARIANT… or whole mutations (a:b+c:d).")],
    promote: Annotated[bool, typer.Option("--promote", help="Certify the best; make it the baseline.")] = False,
    baseline: Annotated[Path, typer.Option(help="The recipe to beat.")] = BASELINE,
    jobs: options.Jobs = 0,
    seeds: Annotated[int, typer.Option(min=1, max=1000, help="Screening seeds.")] = 2,
    match: options.Match = None,
    tune: options.Tune = None,
    *,
    budget: options.ErrorBudget,
    min_effect: options.MinEffect = 0.0,
    again: Annotated[bool, typer.Option("--again", help="Certify anew what has a verdict already.")] = False,
    retry: options.Retry = False,
    how: options.Execution,
    display: options.Display,
) -> Sweep:
    """Train variants beside the baseline, rank them, and with --promote certify the best.

    Examples: foundry sweep norm rmsnorm layernorm --promote --jobs 8 · foundry sweep position ·
    foundry sweep lr:2e-3 lr:2e-3+norm:rmsnorm --promote
    """
    from foundry.mutate.words import expand
    from foundry.promote.sweep import SweepPlan
    from foundry.promote.sweep import sweep as verb

    plan = SweepPlan(tuple(expand(mutations)), promote, seeds, match, tune, min_effect, budget.rules, again)
    with bench(how, display, jobs, retry) as lab:
        return verb(lab, baseline, plan, pair_line(lab.say))


def compare(
    baseline: Annotated[Path, typer.Argument(help="Recipe A.")],
    candidates: Annotated[list[Path], typer.Argument(help="Recipe B: is it better than A? And C, … each against A.")],
    seeds: Annotated[
        str, typer.Option(help="Seeds by hand, such as 1,2,3. Default: derived, fresh for the pair.")
    ] = "",
    match: options.Match = None,
    tune: options.Tune = None,
    alpha: options.Alpha = 0.05,
    max_pairs: options.MaxPairs = 12,
    min_effect: options.MinEffect = 0.0,
    again: Annotated[bool, typer.Option("--again", help="Compare anew, on new seeds.")] = False,
    jobs: options.Jobs = 0,
    retry: options.Retry = False,
    *,
    how: options.Execution,
    display: options.Display,
) -> Comparison | Comparisons:
    """Compare two recipes on shared seeds and an equal budget; or several with the first, each by itself.

    Examples: foundry compare experiments/baseline.yaml experiments/attn_gqa_2kv.yaml --json ·
    foundry compare experiments/baseline.yaml experiments/attn_*.yaml
    """
    from foundry.compare.compare import compare as verb
    from foundry.compare.compare import several
    from foundry.compare.comparison import Rules

    rules, chosen = Rules(alpha, max_pairs, min_effect), options.seed_list(seeds)
    with bench(how, display, jobs, retry) as lab:
        asked = rules, match, tune, chosen, again, pair_line(lab.say)
        return (
            verb(lab, baseline, candidates[0], *asked)
            if len(candidates) == 1
            else several(lab, baseline, candidates, *asked)
        )


def sample(
    run: Annotated[str, typer.Argument(help="Id of a run, or its beginning.")],
    prompt: Annotated[str, typer.Argument(help="How the text begins.")] = "\n",
    tokens: Annotated[int, typer.Option(min=1, max=1_000_000, help="How many tokens to add.")] = 300,
    temperature: Annotated[float, options.real(0, 1000, "0 takes the likeliest token each time.")] = 0.8,
    top_k: Annotated[int, typer.Option(min=0, max=1 << 30, help="Choose among the likeliest k; 0 for all.")] = 0,
    seed: options.Seed = 0,
    *,
    display: options.Display,
) -> recipes.Sampled:
    """Generate text with a trained run.

    Example: foundry sample 3fa9c1 "To be, or" --tokens 200
    """
    from foundry.execute.sampling import sample as verb

    return verb(run, prompt, tokens, temperature, top_k, seed, display.say)


def revert(
    baseline: Annotated[Path, typer.Option(help="The baseline file.")] = BASELINE,
    to: Annotated[
        str | None, typer.Option(help="Fingerprint of the champion to go back to; default: the last.")
    ] = None,
) -> Reverted:
    """Put an earlier baseline back, on the record.

    Example: foundry revert --to 5be0
    """
    from foundry.ledger.ledger import Ledger
    from foundry.promote.promote import revert as verb

    with Ledger.open() as ledger:
        return Reverted.from_dict(verb(ledger, baseline, to))


def data(
    source: Annotated[str, typer.Argument(help="builtin:NAME (shakespeare, networkx, python), file:PATH or hf:NAME.")],
    tokenizer: Annotated[
        str, typer.Option(help="char, bytes, bpe or file; a mapping for its fields: {kind: bpe, …}.")
    ] = "char",
    reading: Annotated[
        str,
        typer.Option(help="How documents are read: {field: text, join: …, line_ends: keep|unix, on_bad: fail|skip}."),
    ] = "{}",
    baseline: Annotated[Path, typer.Option(help="The recipe that is to train on it.")] = BASELINE,
    *,
    display: options.Display,
) -> recipes.Prepared:
    """Tokenize and pack a corpus, once; says which commands train on it.

    Examples: foundry data prepare file:texts/*.jsonl --tokenizer "{kind: bpe, vocab_size: 4096}" ·
    foundry data prepare file:rows.parquet --reading "{field: content, on_bad: skip}"
    """
    from foundry.core import yaml_io
    from foundry.core.section import validate
    from foundry.data.config import DataConfig
    from foundry.data.prepare import prepare, summary
    from foundry.mutate.on_data import commands_to_train

    asked = {"tokenizer": tokenizer, "reading": reading}
    values = {name: yaml_io.parse_value(text, f"--{name}") for name, text in asked.items()}
    config = validate(DataConfig, {"source": source, **values}, "data")
    return summary(prepare(config, display.say), commands_to_train(baseline, config))
