"""One command's surroundings: options, client, output, and what a failure looks like."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn

import click

from orchestry.cli import INTERRUPTED, contexts
from orchestry.cli.output import Output, ReaderGone, abandon
from orchestry.errors import OrchestryError

if TYPE_CHECKING:
    from orchestry.client import Client

# `orchestry dev` listens on the first three, a load balancer before a cluster on the last.
DEFAULT_URLS = tuple(f"http://127.0.0.1:{port}" for port in (8001, 8002, 8003, 8000))
COMPLETION_S = 0.7
"""Who presses Tab waits no longer, whatever the cluster does."""

Completer = Callable[[click.Context, click.Parameter, str], list[str]]

class UsageError(Exception):
    """The command line asks for something that makes no sense."""


class CommandError(Exception):
    """The command failed on this machine; `next_step` is what the user can do."""

    def __init__(self, message: str, next_step: str) -> None:
        super().__init__(message)
        self.next_step = next_step


@dataclass(frozen=True, slots=True)
class Options:
    """The options that hold for every command."""

    urls: tuple[str, ...] = ()
    token: str | None = None
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    as_json: bool = False
    no_color: bool = False
    quiet: bool = False

    def merged(self, later: Options) -> Options:
        """These options, with those that were given after the command's name."""
        return Options(
            later.urls or self.urls,
            self.token if later.token is None else later.token,
            later.ca_file or self.ca_file,
            later.cert_file or self.cert_file,
            later.key_file or self.key_file,
            later.as_json or self.as_json,
            later.no_color or self.no_color,
            later.quiet or self.quiet,
        )


class Session:
    """What a command works with."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.out = Output(
            as_json=options.as_json, color=not options.no_color, quiet=options.quiet
        )

    @cached_property
    def target(self) -> contexts.Context:
        """The cluster: options beat the environment, which beats the current context.

        What a context says of token and CAs holds for its own addresses only. Raises
        CommandError when the contexts cannot be read.
        """
        named = tuple(filter(None, map(str.strip, os.environ.get("ORCHESTRY_URL", "").split(","))))
        urls = self.options.urls or named
        token = self.options.token or os.environ.get("ORCHESTRY_TOKEN") or None
        ca_file = self.options.ca_file or os.environ.get("ORCHESTRY_CA") or None
        if urls:
            return contexts.Context(urls, token, ca_file)
        try:
            current = contexts.load().active()
        except contexts.ContextsError as error:
            raise CommandError(str(error), "Or name the cluster with --url.") from None
        if current is None:
            return contexts.Context(DEFAULT_URLS, token, ca_file)
        return contexts.Context(current.urls, token or current.token, ca_file or current.ca_file)

    @property
    def token(self) -> str | None:
        """The access token, if one is given; raises CommandError as `target`."""
        return self.target.token

    @property
    def ca(self) -> str | None:
        """The file with the CAs of the controllers, if one is given."""
        return self.target.ca_file

    @property
    def cert(self) -> tuple[str, str] | None:
        """The files of our certificate and its key; UsageError when only one is given."""
        cert, key = self.options.cert_file, self.options.key_file
        if bool(cert) != bool(key):
            raise UsageError("--cert-file and --key-file belong together")
        return (cert, key) if cert and key else None

    @cached_property
    def client(self) -> Client:
        """The client, made on first use; raises UsageError for a malformed address."""
        return self._telling(self._made())

    def _made(self, **options: Any) -> Client:
        from orchestry.client import Client

        try:
            return Client(self.target.urls, token=self.token, ca=self.ca, cert=self.cert, **options)
        except ValueError as error:
            raise UsageError(str(error)) from None

    def hasty(self) -> Client:
        """A client for who waits at a prompt, to be closed by the caller."""
        return self._made(timeout=COMPLETION_S)

    def fresh(self) -> Client:
        """Another client like it, to be closed by the caller."""
        return self._made()

    def at(self, url: str) -> Client:
        """A client of one controller alone, to be closed by the caller; ValueError if malformed."""
        from orchestry.client import Client

        return self._telling(Client(url, token=self.token, ca=self.ca, cert=self.cert))

    def _telling(self, client: Client) -> Client:
        """The client, which says when a controller takes long to answer."""
        client._known.tell = self.out.progress  # for users of the command alone
        return client

    @property
    def asked(self) -> bool:
        """Whether the cluster may have been asked anything."""
        return "client" in self.__dict__

    def close(self) -> None:
        """Close the client, if there is one."""
        if self.asked:
            self.client.close()


def shared_options(*, hidden: bool) -> list[click.Parameter]:
    """The options of every command; after its name they need no more room in its help."""
    return [
        click.Option(
            ["--url", "-u", "urls"], metavar="URL", multiple=True, hidden=hidden,
            help="Address of a controller; repeatable. Else ORCHESTRY_URL (comma-separated), "
            "else the current cluster of `config`, else ports 8001, 8002, 8003 and 8000 of this "
            "machine.",
        ),
        click.Option(["--token"], metavar="TOKEN", hidden=hidden,
                     help="Access token. Else ORCHESTRY_TOKEN."),
        click.Option(["--ca-file"], metavar="FILE", hidden=hidden,
                     help="CAs of the controllers, in PEM. Else ORCHESTRY_CA."),
        click.Option(["--cert-file"], metavar="FILE", hidden=hidden,
                     help="Our certificate in PEM, where controllers ask for one."),
        click.Option(["--key-file"], metavar="FILE", hidden=hidden, help="Its key."),
        click.Option(["--json", "as_json"], is_flag=True,
                     help="Print one JSON document, and nothing else, on standard output."),
        click.Option(["--no-color"], is_flag=True, hidden=hidden, help="No colours."),
        click.Option(["--quiet", "-q"], is_flag=True, hidden=hidden,
                     help="No progress on standard error."),
    ]


class Command(click.Command):
    """A command whose function takes a Session first, and may return an exit code."""

    def __init__(self, name: str | None, **attributes: Any) -> None:
        own = attributes.pop("params", None) or []
        super().__init__(name, params=[*own, *shared_options(hidden=True)], **attributes)

    def invoke(self, ctx: click.Context) -> NoReturn:
        """Run the function; the process ends with its exit code."""
        values = dict(ctx.params)
        given = Options(**{part.name: values.pop(part.name) for part in fields(Options)})
        options = (ctx.find_object(Options) or Options()).merged(given)
        run = self.callback
        assert run is not None
        ctx.exit(perform(Session(options), lambda session: run(session, **values)))


def perform(session: Session, work: Callable[[Session], int | None]) -> int:
    """Do a command's work; turn whatever goes wrong into a message and an exit code."""
    out = session.out
    try:
        return work(session) or 0
    except UsageError as error:
        context = click.get_current_context(silent=True)
        path = context.command_path if context else "orchestry"
        out.failure(str(error), f"See `{path} --help`.", code="USAGE")
        return 2
    except CommandError as error:
        out.failure(str(error), error.next_step, code="FAILED")
        return 1
    except contexts.ContextsError as error:
        out.failure(str(error), "See `orchestry config list`.", code="FAILED")
        return 1
    except OrchestryError as error:
        return out.error(error)
    except KeyboardInterrupt:
        out.progress("Interrupted.")
        return INTERRUPTED
    except (BrokenPipeError, ReaderGone):
        return abandon()
    except OSError as error:
        out.failure(f"{error.filename or 'Input or output'}: {error.strerror or error}",
                    "Check the path and its permissions.", code="FAILED")
        return 1
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        if not session.asked:
            raise
        out.failure(
            "The answer is not as this version of the command expects",
            "Check that --url names a controller, and compare versions with `orchestry info`.",
            code="UNREADABLE_ANSWER", details=f"{type(error).__name__}: {error}")
        return 1
    finally:
        session.close()


def names_of(read: Callable[[Client], Iterable[str]]) -> Completer:
    """Names for shell completion; none when the cluster does not answer."""
    def names(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
        session = Session(_typed(context.find_root()).merged(_typed(context)))
        try:
            with session.hasty() as client:
                return [name for name in read(client) if name.startswith(incomplete)]
        except (OrchestryError, CommandError, UsageError, KeyError, TypeError):
            return []

    return names


def _typed(context: click.Context) -> Options:
    """The options on a command line that is completed, before which no callback runs."""
    return Options(**{part.name: context.params[part.name] for part in fields(Options)
                      if context.params.get(part.name)})


app_names = names_of(lambda client: [app["name"] for app in client.list_apps()["apps"]])
app_argument = click.argument("name", metavar="NAME", shell_complete=app_names)
