"""Search spaces: YAML with line and column marks -> `SearchSpace` -> sampled `TrialConfig`. Loads no torch, no ray."""

from kansearch.space.configuration import load_config, load_source, parse_config
from kansearch.space.distributions import Branch, Choice, Distribution, FloatRange, IntRange, Scalar, Tree
from kansearch.space.files import find_space, shipped_spaces
from kansearch.space.loader import load_space, parse_space
from kansearch.space.points import Mismatch, Point, point_of
from kansearch.space.schema import json_schema
from kansearch.space.search_space import GivenSuggest, RandomSuggest, SearchSpace, Suggest, random_config
from kansearch.space.settings import (
    DEFAULT_OBJECTIVES,
    ConstraintName,
    Direction,
    ObjectiveName,
    SearchSettings,
    parse_duration,
    study_name,
)

__all__ = [
    "DEFAULT_OBJECTIVES",
    "Branch",
    "Choice",
    "ConstraintName",
    "Direction",
    "Distribution",
    "FloatRange",
    "GivenSuggest",
    "IntRange",
    "Mismatch",
    "ObjectiveName",
    "Point",
    "RandomSuggest",
    "Scalar",
    "SearchSettings",
    "SearchSpace",
    "Suggest",
    "Tree",
    "agreement",
    "arms",
    "distributions",
    "find_space",
    "json_schema",
    "load_config",
    "load_source",
    "load_space",
    "parse_config",
    "parse_duration",
    "parse_space",
    "point_of",
    "points",
    "random_config",
    "samplers",
    "search_space",
    "shipped_spaces",
    "study_name",
    "unit",
    "vectors",
]
