# SPDX-License-Identifier: Apache-2.0
"""Results of calls, and the one verb that judges them: :func:`expect`."""

from __future__ import annotations

from typing import Any, Generic, TypeVar, overload

from attrs import asdict, define, field, frozen, has

from harness.conformance.errnos import ErrorNumber

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

_TEXT_LIMIT = 400


@frozen
class Failure:
    """What went against the expectation: the call's text, what was expected, what came."""

    call: str
    expected: str
    got: str


class CaseFailedError(AssertionError):
    """The target does not do what the case expects of it."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(f"{failure.call}: expected {failure.expected}, got {failure.got}")
        self.failure = failure


class NotRunnableError(Exception):
    """The case cannot run here; the text says what is missing."""


class ImpossibleError(Exception):
    """No host could run the case on this target; the text says why."""


def shown(value: object) -> str:
    """A value as the report shows it, at a bearable length."""
    text = repr(value)
    return text if len(text) <= _TEXT_LIMIT else f"{text[:_TEXT_LIMIT]}..."


@define(eq=False)
class Result(Generic[T_co]):
    """One finished call: its text, and its value or its errno.

    Pass it on where a value is wanted (``call.read(call.open(...), 10)``), give it to
    :func:`expect`, or take :attr:`value`. A failed call that nobody looked at fails the case.
    """

    text: str
    error: ErrorNumber | None
    _value: T_co | None = None
    looked_at: bool = field(default=False, init=False)

    @property
    def value(self) -> T_co:
        """What the call returned; the case fails if it returned an error."""
        self.looked_at = True
        if self.error is not None:
            raise CaseFailedError(Failure(self.text, "success", str(self.error)))
        return self._value  # type: ignore[return-value]

    @property
    def failed(self) -> Result[Any]:
        """This failed call as the result of a larger one, which has no value either."""
        return self

    @property
    def outcome(self) -> str:
        """The errno's name, or the value as the report shows it."""
        self.looked_at = True
        return str(self.error) if self.error is not None else shown(self._value)

    def __str__(self) -> str:
        return f"{self.text} = {self.outcome}"


class _Success:
    """Any value but an error."""

    def __repr__(self) -> str:
        return "success"


SUCCESS = _Success()


@overload
def expect(actual: Result[T], wanted: ErrorNumber, /) -> None: ...
@overload
def expect(actual: Result[T], wanted: object = SUCCESS, /, **fields: object) -> T: ...
@overload
def expect(actual: T, wanted: object, /) -> T: ...
def expect(actual: Any, wanted: object = SUCCESS, /, **fields: object) -> Any:
    """Fail the case unless ``actual`` is what is ``wanted``; returns the call's value.

    ``expect(call.write(fd, b"x"), EINVAL)``, ``expect(call.read(fd, 4096), b"16\\n")``,
    ``expect(call.open(path, O_RDONLY))`` for just success, and ``expect(call.stat(path),
    mode=0o100644, size=4096)`` for some fields of a result. ``actual`` may also be a plain value.
    """
    if not isinstance(actual, Result):
        if actual != wanted:
            raise CaseFailedError(Failure("value", shown(wanted), shown(actual)))
        return actual
    actual.looked_at = True
    if isinstance(wanted, ErrorNumber):
        if actual.error != wanted:
            raise CaseFailedError(Failure(actual.text, str(wanted), actual.outcome))
        return None
    value = actual.value if wanted is SUCCESS else _equal(actual, wanted)
    if fields:
        _expect_fields(actual.text, value, fields)
    return value


def _equal(actual: Result[Any], wanted: object) -> Any:
    if actual.error is not None or actual.value != wanted:
        raise CaseFailedError(Failure(actual.text, shown(wanted), actual.outcome))
    return actual.value


def _expect_fields(text: str, value: Any, fields: dict[str, object]) -> None:
    if not has(type(value)):
        raise TypeError(f"{text} has no fields to expect")
    got = asdict(value, recurse=False)
    if {name: got[name] for name in fields} != fields:
        differing = [name for name in fields if got[name] != fields[name]]
        raise CaseFailedError(
            Failure(
                text,
                ", ".join(f"{name} {field_text(name, fields[name])}" for name in differing),
                ", ".join(f"{name} {field_text(name, got[name])}" for name in differing),
            )
        )


def field_text(name: str, value: object) -> str:
    """A mode in octal, anything else as it is."""
    return f"{value:#o}" if name == "mode" and isinstance(value, int) else shown(value)
