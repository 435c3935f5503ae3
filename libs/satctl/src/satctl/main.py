"""`satctl`: loads the command that is asked for, and turns every error into one message with an exit code."""

from __future__ import annotations

import errno
from importlib import import_module

import click
from click.shell_completion import CompletionItem
from satcommon.errors import InputError, SatfieldsError, SettingError

# Each command's module, and its line in `satctl --help`, which therefore loads no command and none of its libraries.
COMMANDS = {
    "db": ("satctl.commands.db", "Migrate and check the database."),
    "regions": ("satctl.commands.regions", "Register and show regions."),
    "fields": ("satctl.commands.fields", "Register, revise and show fields."),
    "scenes": ("satctl.commands.scenes", "Ask the source of imagery again."),
    "status": ("satctl.commands.status", "Show what is closed, what is missed, and what each region waits for."),
    "audit": ("satctl.commands.audit", "Check that no field-day is lost."),
    "plan": ("satctl.commands.plan", "Show what draining the backlog costs."),
    "reprocess": ("satctl.commands.reprocess", "Drain a region's backlog now."),
    "history": ("satctl.commands.history", "Show the provenance of one number."),
    "changes": ("satctl.commands.changes", "List what corrections changed, with the values before and after."),
    "webhooks": ("satctl.commands.webhooks", "Push changes to receivers, as signed CloudEvents."),
    "doctor": ("satctl.commands.doctor", "Check the settings and what they name."),
    "backup": ("satctl.commands.backup", "Back up the ledger, check backups, and restore one."),
    "gc": ("satctl.commands.gc", "Rebase days with many patches, and remove unreferenced objects."),
    "export": ("satctl.commands.export", "Write a region's or a field's rows to a file."),
    "columns": ("satctl.commands.columns", "Show the columns of rows: units, ranges, meanings."),
    "publish": ("satctl.commands.publish", "Publish results as a static catalogue."),
    "metrics": ("satctl.commands.metrics", "Serve metrics for Prometheus."),
    "keys": ("satctl.commands.keys", "Make, list and revoke keys of the HTTP API."),
    "locations": ("satctl.commands.locations", "List and reload Dagster's code locations."),
    "runs": ("satctl.commands.runs", "List and launch Dagster runs."),
    "up": ("satctl.commands.up", "Run everything on this machine."),
    "demo": ("satctl.commands.demo", "Show how late data is corrected, in about two minutes."),
}
FAILED, WRONG_INPUT = 1, 2  # exit codes; click's own for wrong usage is 2 too


class Failure(click.ClickException):
    """A message on stderr, and an exit code."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code  # type: ignore[misc]  # click expects it to be set; its annotation disagrees

    def show(self, file: object = None) -> None:  # noqa: ARG002  # click's signature
        """Write the message."""
        from satctl.output.tables import coloured  # here: completion and `--help` do without rich

        click.echo(f"{coloured('error:', 'red')} {self.message}", err=True)


class Satctl(click.Group):
    """The root command: loads the others on demand, and turns exceptions into failures."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        """The names of the commands."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  # click's signature
        """The command of a name, loaded now."""
        if cmd_name not in COMMANDS:
            return None
        command = getattr(import_module(COMMANDS[cmd_name][0]), cmd_name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002  # click's signature
        """The commands' lines of the help; no command is loaded."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """The commands and options with this beginning; no command is loaded."""
        commands = [
            CompletionItem(name, help=line) for name, (_, line) in COMMANDS.items() if name.startswith(incomplete)
        ]
        return commands + click.Command.shell_complete(self, ctx, incomplete)

    def invoke(self, ctx: click.Context) -> object:
        """Run a command; what it raises becomes a failure."""
        try:
            return super().invoke(ctx)
        except SatfieldsError as error:
            code = WRONG_INPUT if isinstance(error, (InputError, SettingError)) else FAILED
            raise Failure(str(error), code) from error
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:
            closed_pipe = (
                isinstance(error, OSError) and error.errno == errno.EPIPE
            )  # as of `| head`: click ends quietly on it
            if ctx.params["debug"] or closed_pipe:
                raise
            reason = (str(error).strip() or "no details").splitlines()[0]
            hint = "`satctl --debug ...` shows where it comes from"
            raise Failure(f"{type(error).__name__}: {reason}. This was not expected; {hint}.", FAILED) from error


def _install_completion(ctx: click.Context, _parameter: click.Parameter, shell: str | None) -> None:
    if shell is None or ctx.resilient_parsing:
        return
    from satctl.shells import install  # here: other commands do without it

    try:
        file, rest = install(ctx.command, None if shell == "auto" else shell)
    except InputError as error:  # options are parsed before `invoke`
        raise Failure(str(error), WRONG_INPUT) from error
    click.echo(f"{file} completes commands, options, names of regions and ids of fields. {rest}")
    ctx.exit()


@click.group(cls=Satctl, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--debug", is_flag=True, help="Show the traceback of an unexpected error.")
@click.option(
    "--install-completion",
    "shell",
    type=click.Choice(["auto", "bash", "zsh", "fish"]),
    is_flag=False,
    flag_value="auto",
    is_eager=True,
    expose_value=False,
    callback=_install_completion,
    help="Let the shell complete commands and names; without a value, the login shell.",
)
@click.version_option(package_name="satctl")
def main(debug: bool) -> None:
    """Administer Satfields: regions, fields, and the state of their days.

    Environment variables choose the system: SATFIELDS_HOME on a laptop, SATFIELDS_DATABASE_URL and SATFIELDS_STORE
    elsewhere.

    \b
    Examples:
      satctl db upgrade
      satctl regions seed --monitored-from 2026-05-01
      satctl fields import fields.gpkg
      satctl status
      satctl audit
      satctl export A --from 2026-05-01 --to 2026-05-31 --output may.csv

    Exit codes: 0 fine, 1 failed, 2 wrong input, setting or usage.
    """
    from satcommon.telemetry.logs import configure  # here: completion and `--help` do without the settings

    configure(level="debug" if debug else "error")  # what fails, the command itself tells
