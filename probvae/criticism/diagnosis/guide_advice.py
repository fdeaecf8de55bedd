"""Advice on the guide: parts that differ from those of the VAE and that can be joined with it."""

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple, TypeAlias

import jax

from probvae import guides
from probvae.criticism.posterior.annealing import anneal_from_prior
from probvae.criticism.posterior.unconstrained import check_sites
from probvae.evidence import Batch, check_exact_density, check_one_decoder
from probvae.fitted import Fitted
from probvae.interfaces import AbstractGuide
from probvae.objectives import IWAE
from probvae.objectives.compatibility import check_objective, check_terms
from probvae.short_repr import short_repr
from probvae.tracing import trace_structure
from probvae.vae import VAE

ENCODER = "a larger encoder, or longer training"
# Guides of a real code, from the narrowest family to the richest. No family is known to contain a
# guide of another kind, or one of your own.
DIAGONAL = (guides.MeanField, guides.SemiAmortized)
Kinds: TypeAlias = type[AbstractGuide] | tuple[type[AbstractGuide], ...]
FAMILIES: tuple[Kinds, ...] = (DIAGONAL, guides.LowRank, guides.FullRank, guides.Flow)


@short_repr
class GuideAdvice(NamedTuple):
    """What could bring q(z|x) closer to the posterior of one VAE, in words. "" where there is nothing.

    ``richer`` names guides with a richer family, ``refined`` the same family refined for each datum,
    and ``objective`` an objective of several particles. ``annealing`` is a bound that needs no guide,
    and ``posterior`` a sampler of the posterior.
    """

    richer: str = ""
    refined: str = ""
    objective: str = ""
    annealing: str = ""
    posterior: str = ""


def advise_on_guide(fitted: Fitted, datum: Batch) -> GuideAdvice:
    """Return the advice for a fit. Each part is joined with the VAE abstractly, without arithmetic.

    Args:
        fitted: a fitted VAE.
        datum: one row of the data, without the axis of the rows.
    """
    vae = fitted.vae
    has_gradients = _is_possible(lambda: _check_gradients(fitted, datum))
    is_diagonal = type(vae.posterior) is guides.MeanField
    can_refine = is_diagonal and _is_possible(lambda: replace(vae, posterior=guides.SemiAmortized()))
    return GuideAdvice(
        richer=" or ".join(name_guide(guide) for guide in list_richer_guides(vae)),
        refined="guides.SemiAmortized()" if can_refine else "",
        objective="objectives.IWAE(...)" if _is_possible(lambda: _check_iwae(vae)) else "",
        annealing="criticism.annealed_log_prob(...)" if has_gradients else "",
        posterior="NUTS on fitted.model" if has_gradients else "",
    )


def list_richer_guides(vae: VAE) -> list[AbstractGuide]:
    """Return guides of a richer family than that of the VAE that fit its other parts."""
    guide = vae.posterior
    if vae.latent_dim == 1:  # a full covariance and an affine flow of one unit are a normal again
        return []
    family = next((i for i, kind in enumerate(FAMILIES) if isinstance(guide, kind)), len(FAMILIES))
    candidates: list[AbstractGuide] = [
        kind() for kind in (guides.FullRank, guides.Flow) if FAMILIES.index(kind) > family
    ]
    if isinstance(guide, guides.Flow):
        candidates = [replace(guide, depth=2 * guide.depth)]
    return [each for each in candidates if _is_possible(lambda each=each: replace(vae, posterior=each))]


def name_guide(guide: AbstractGuide) -> str:
    """Return the call that makes a guide, with its depth if it is a deeper flow."""
    if isinstance(guide, guides.Flow) and guide.depth != guides.Flow().depth:
        return f"guides.Flow(depth={guide.depth})"
    return f"guides.{type(guide).__name__}()"


def _is_possible(check: Callable[[], object]) -> bool:
    """Whether a check accepts. Warnings are those that the user has seen when building the VAE."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            check()
        except (TypeError, ValueError):
            return False
    return True


def _check_gradients(fitted: Fitted, datum: Batch) -> None:
    check_one_decoder(fitted.vae, "annealing")
    check_exact_density(fitted.vae, "annealing")
    check_sites(fitted.vae.eval(), fitted.values, anneal_from_prior, datum)


def _check_iwae(vae: VAE) -> None:
    structure, name = trace_structure(vae), type(vae.posterior).__name__
    check_objective(IWAE(), structure.model, structure.guide, structure.state, name)
    check_terms(IWAE(), vae, batch_size=2)


def first_datum(data: Batch) -> Batch:
    """Return the first row of a batch, without the axis of the rows."""
    return jax.tree.map(lambda a: a[0], data)
