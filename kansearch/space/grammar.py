"""The grammar of a search-space file, derived from the pydantic models: no field is named twice.

Leaf      a plain value, or a distribution of it
Record    a mapping with known keys
OneOf     one of several records told apart by their `name` or `family`; text alone is short for {name: text}
ListOf    any number of records
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeAlias, Union, cast, get_args, get_origin

from pydantic import BaseModel, ConfigDict, TypeAdapter
from pydantic.fields import FieldInfo

from kansearch.space.settings import ConstraintName, Direction, ObjectiveName, SearchSettings, StudyName
from trials.config import DataConfig, DatasetConfig, TrialConfig

__all__ = ["Leaf", "ListOf", "OneOf", "Record", "Shape", "config_grammar", "space_grammar", "trial_grammar"]

ONE_SPLIT = "one study is one data set and one split, so nothing is drawn here"
ONE_STUDY = "this holds for the whole study, so nothing is drawn here"
ENQUEUED = "a configuration to try first has one value for each setting, or leaves it out"
_DRAWN = ("batch_size", "augment", "pixels")  # of a data set; the rest would make trials incomparable if it varied
FIXED = tuple(
    sorted(
        {f"data.{name}" for model in get_args(get_args(DatasetConfig)[0]) for name in model.model_fields}
        - {f"data.{name}" for name in _DRAWN}
    )
)
_CONFIG = ConfigDict(strict=True, allow_inf_nan=False)


@dataclass(frozen=True, kw_only=True)
class _Shape:
    description: str = ""
    default: object = ...  # as in a file; ... if there is none to show
    fixed: str | None = None  # why no distribution may stand here
    nullable: bool = False


@dataclass(frozen=True, kw_only=True)
class Leaf(_Shape):
    """A value without parts. `kinds` are the Python types it may have, `names` the words if only those are allowed,
    `also` words that may stand for a value of such a type."""

    adapter: TypeAdapter[Any] = field(compare=False)
    kinds: frozenset[type]
    names: tuple[object, ...] = ()
    also: tuple[object, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Record(_Shape):
    """A mapping. `title` names it in the JSON Schema; no entry of `required` may be left out."""

    title: str
    fields: Mapping[str, Shape]
    required: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class OneOf(_Shape):
    """One of `members`, by the value of `key`. A member's record doesn't hold the key itself.

    `usual` is the member that a mapping without the key means, None if it must be named.
    """

    key: str
    members: Mapping[str, Record]
    usual: str | None = None


@dataclass(frozen=True, kw_only=True)
class ListOf(_Shape):
    """A list, each of its items as `item` says."""

    item: Record


Shape: TypeAlias = Leaf | Record | OneOf | ListOf


@cache
def trial_grammar() -> Record:
    """The grammar of the part of a file that makes a trial's configuration."""
    trial = _record(TrialConfig)
    for path in FIXED:
        trial = cast(Record, _fix(trial, path.split("."), ONE_SPLIT))
    return trial


@cache
def space_grammar() -> Record:
    """The grammar of a whole file."""
    trial = trial_grammar()
    objectives = _words(get_args(ObjectiveName), _leaf(Direction), "Objectives", "what to improve, and which way")
    limit = _leaf(Annotated[float, FieldInfo(gt=0)])
    constraints = _words(get_args(ConstraintName), limit, "Constraints", "upper bounds; checked before a trial trains")
    settings = _record(SearchSettings, description="how the space is searched", default=SearchSettings().model_dump())
    own: dict[str, Shape] = {
        "study": _fixed(_leaf(StudyName, description="name of the study; its folder and its tracking entry carry it")),
        "objectives": _fixed(objectives),
        "constraints": _fixed(constraints),
        "search": _fixed(settings),
    }
    data = _any_data(cast(OneOf, trial.fields["data"]))
    enqueued = Record(title="TrialConfig", fields={**trial.fields, "data": data})
    own["enqueue"] = ListOf(
        item=cast(Record, _each(enqueued, _enqueued)),
        description="configurations to try first, in this order; what one leaves out the sampler proposes",
    )
    fields = {"study": own.pop("study"), **trial.fields, **own}
    return Record(title="SearchSpace", fields=fields, required=("study", *trial.required))


def _any_data(data: OneOf) -> Record:
    """The data of a configuration to try first, whose data set need not be named: the keys of all data sets."""
    common = _record(DataConfig)
    own = {name: leaf for member in data.members.values() for name, leaf in member.fields.items()}
    return replace(common, fields={**own, **common.fields})


@cache
def config_grammar() -> Record:
    """The grammar of a file with one complete configuration under `config`, as `kansearch export` writes it."""
    config = _fixed(_record(TrialConfig), "a configuration has one value for each setting")
    return Record(title="Configuration", fields={"config": config}, required=("config",))


def _record(model: type[BaseModel], without: str | None = None, **more: Any) -> Record:
    own = model.__annotations__  # before what is inherited
    names = sorted((name for name in model.model_fields if name != without), key=lambda name: name not in own)
    fields = {name: _field(model.model_fields[name], model) for name in names}
    required = tuple(name for name in fields if model.model_fields[name].is_required())
    return Record(title=model.__name__, fields=fields, required=required, **{"description": _doc(model), **more})


def _doc(model: type[BaseModel]) -> str:
    return (model.__doc__ or "").strip().split("\n")[0]


def _field(info: FieldInfo, model: type[BaseModel]) -> Shape:
    default = info.get_default()
    shown = default.model_dump() if isinstance(default, BaseModel) else default
    more: dict[str, Any] = {"description": info.description or "", "default": ... if info.is_required() else shown}
    alternatives = list(_alternatives(info.annotation))
    models = [each for each in alternatives if isinstance(each, type) and issubclass(each, BaseModel)]
    if not models:
        annotation = info.annotation
        for constraint in info.metadata:
            annotation = Annotated[annotation, constraint]  # type: ignore[assignment]
        return _leaf(annotation, **more)
    more["nullable"] = NoneType in alternatives
    if len(models) + more["nullable"] != len(alternatives):
        raise TypeError(f"{model.__name__}: a field holds either mappings or plain values, not both: {info.annotation}")
    if len(models) == 1 and info.discriminator is None:
        return _record(models[0], **more)
    key = info.discriminator if isinstance(info.discriminator, str) else _tag(models)
    members = {str(name): _record(each, without=key) for each in models for name in _literals(each, key)}
    usual = [str(each.model_fields[key].default) for each in models if not each.model_fields[key].is_required()]
    return OneOf(key=key, members=members, usual=usual[0] if usual else None, **more)


def _tag(models: list[type[BaseModel]]) -> str:
    """The first field that is a Literal in every model: it tells them apart."""
    for name in models[0].model_fields:
        if all(name in each.model_fields and _literals(each, name) for each in models):
            return name
    raise TypeError(f"a union of mappings needs a Literal `name` in each: {models}")


def _literals(model: type[BaseModel], name: str) -> tuple[object, ...]:
    annotation = model.model_fields[name].annotation
    return get_args(annotation) if get_origin(annotation) is Literal else ()


def _alternatives(annotation: Any) -> Iterator[Any]:
    """The parts of a union, at any depth, without what `Annotated` adds."""
    if get_origin(annotation) is Annotated:
        yield from _alternatives(get_args(annotation)[0])
    elif get_origin(annotation) in (Union, UnionType):
        for part in get_args(annotation):
            yield from _alternatives(part)
    else:
        yield annotation


def _leaf(annotation: Any, **more: Any) -> Leaf:
    kinds: set[type] = set()
    names: tuple[object, ...] = ()
    for part in _alternatives(annotation):
        if get_origin(part) is Literal:
            names += get_args(part)
        else:
            kinds.add(get_origin(part) or part)
    types = {type(name) for name in names}
    only_names = kinds <= types | {NoneType}
    return Leaf(
        adapter=TypeAdapter(annotation, config=_CONFIG),
        kinds=frozenset(kinds | types if only_names else kinds),
        names=names if only_names else (),
        also=() if only_names else names,
        nullable=NoneType in kinds,
        **more,
    )


def _words(names: tuple[str, ...], leaf: Leaf, title: str, description: str) -> Record:
    return Record(title=title, fields=dict.fromkeys(names, leaf), description=description)


def _fixed(shape: Shape, why: str = ONE_STUDY) -> Shape:
    """The same shape, with no distribution allowed anywhere in it."""
    return _each(shape, lambda part: replace(part, fixed=why))


def _enqueued(part: Shape) -> Shape:
    """A part of a configuration to try first: a plain value, and no default, as it may be left out."""
    if isinstance(part, Record):
        return replace(part, title=f"Enqueued{part.title}", required=(), default=..., fixed=ENQUEUED)
    return replace(part, default=..., fixed=ENQUEUED)


def _each(shape: Shape, change: Callable[[Shape], Shape]) -> Shape:
    """The same shape with `change` made to each of its parts, and to itself."""
    if isinstance(shape, Record):
        shape = replace(shape, fields={name: _each(part, change) for name, part in shape.fields.items()})
    elif isinstance(shape, OneOf):
        members = {name: cast(Record, _each(part, change)) for name, part in shape.members.items()}
        shape = replace(shape, members=members)
    elif isinstance(shape, ListOf):
        shape = replace(shape, item=cast(Record, _each(shape.item, change)))
    return change(shape)


def _fix(shape: Shape, path: list[str], why: str) -> Shape:
    """The same shape with one field fixed, and with it every mapping on the way there."""
    if not path:
        return _fixed(shape, why)
    if isinstance(shape, OneOf):
        inner = shape.members if path[0] != shape.key else {}
        members = {name: cast(Record, _fix(each, path, why)) for name, each in inner.items()}
        return replace(shape, fixed=why, members={**shape.members, **members})
    if not isinstance(shape, Record) or path[0] not in shape.fields:
        return shape
    fixed = None if shape.title == TrialConfig.__name__ else why
    return replace(shape, fixed=fixed, fields={**shape.fields, path[0]: _fix(shape.fields[path[0]], path[1:], why)})
