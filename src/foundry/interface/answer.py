"""The one way in which a verb's document is answered: as JSON, or told to a person by the printer that it has here; and
the exit code that it stands for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from foundry.documents import budget, campaign, comparison, exports, mcp, page, recipes, runs, sweep, underway
from foundry.documents.document import Document
from foundry.interface import (
    report,
    report_campaign,
    report_code,
    report_models,
    report_page,
    report_show,
    report_underway,
)
from foundry.interface.terminal import console, emit

PRINTERS: dict[type[Document], Callable[[Any], None]] = {
    runs.Trained: report.run,
    runs.Log: report.log,
    runs.Diff: report.diff,
    runs.Lineage: report.lineage,
    runs.RunShown: report_show.run,
    runs.RecipeShown: report_show.recipe,
    runs.PromotionShown: report_show.promotion,
    comparison.ComparisonShown: report_show.comparison_shown,
    comparison.Comparison: report.comparison,
    sweep.Sweep: report.sweep,
    campaign.Campaign: report_campaign.campaign,
    campaign.Proposed: report_campaign.proposed,
    campaign.Proposals: report_campaign.proposals,
    campaign.Proposal: report_campaign.withdrawn,
    campaign.History: report_campaign.history,
    campaign.Reproduced: report_campaign.reproduced,
    page.Reported: report_page.reported,
    page.Served: report_page.served,
    comparison.Comparisons: report_underway.comparisons,
    underway.Started: report_underway.started,
    underway.Waited: report_underway.waited,
    underway.Jobs: report_underway.jobs,
    mcp.McpConfig: lambda document: console.print(document.text),
    mcp.McpServed: report_page.mcp_served,
    underway.Underway: report_underway.ps,
    underway.Stopped: report_underway.stopped,
    underway.Cleaned: report_underway.cleaned,
    underway.Curves: report_underway.curves,
    underway.Tracked: report_underway.tracked,
    budget.Budget: report.budget,
    budget.Verified: report.verify,
    budget.Reverted: report.reverted,
    recipes.Initialized: report.initialized,
    recipes.Skill: report.skill,
    recipes.Catalogue: report.catalogue,
    recipes.Mutated: report.mutation,
    recipes.Kinds: report.kinds,
    recipes.Prepared: report.data,
    recipes.Adopted: report_code.adopted,
    recipes.Checked: report_code.checked,
    recipes.Rebuilt: report_code.rebuilt,
    exports.Exported: report_models.exported,
    exports.ExportTargets: report_models.targets,
    exports.Imported: report_models.imported,
    recipes.Sampled: lambda document: console.print(document.text),
}


def answer(document: Document, as_json: bool) -> None:
    emit(document) if as_json else PRINTERS[type(document)](document)


def exit_code(document: Document) -> int:
    """0: what was asked for is done, and holds; 1: it failed, or doesn't hold; 2: nothing of it could be asked for."""
    match document:
        case runs.Trained():
            return int(document.status != "done")
        case budget.Verified() | recipes.Checked():
            return int(not document.ok)
        case exports.Exported():
            return int(document.verified is not None and not document.verified.ok)
        case campaign.Reproduced():
            return int(not document.reproduced)
        case sweep.Sweep():
            return 2 if document.all_refused else 0
        case underway.Waited():
            return int(document.state != "running") if document.exit_code in (None, 130) else document.exit_code
    return 0
