"""The commands of `async-enroll`, and their common help."""

from __future__ import annotations

from importlib.metadata import version

from cyclopts import App

from async_enroll.cli.commands import (
    apply,
    demo,
    doctor,
    enrollments,
    plan,
    report,
    resume,
    sandbox,
    undo,
)
from async_enroll.cli.options.config import from_profile
from async_enroll.cli.options.profiles import config_path

_EPILOGUE = f"""\
Start here:
  async-enroll demo                      try it on an embedded platform
  export ASYNC_ENROLL_URL=https://courses.example.org
  export ASYNC_ENROLL_TOKEN=…            or use --token-file PATH
  export ASYNC_ENROLL_CLIENT_ID=…        or sign in with client credentials
  export ASYNC_ENROLL_CLIENT_SECRET=…    or set …_CLIENT_SECRET_FILE=PATH
  async-enroll doctor                    check the connection and permissions
  async-enroll plan roster.csv           show what would be sent
  async-enroll apply roster.csv          enroll and unenroll learners

Instead of the environment, {config_path()}:
  [site.school]                          doctor --site school checks it
  url = "https://courses.example.org"
  token_file = "school.token"            or client_id and client_secret_file
  patience = "2h"                        or any other option for that site

Exit status:
  0    success
  1    some enrollments failed; the report lists them
  2    nothing was sent: unusable arguments, configuration, roster or site
  3    stopped before the end; with a journal, `resume` continues
  130  interrupted; with a journal, `resume` continues"""

app: App = App(
    name="async-enroll",
    help="Enroll and unenroll learners in bulk on MOOCit and Open edX.",
    help_epilogue=_EPILOGUE,
    help_format="plaintext",
    config=from_profile,
    version=version("async_enroll"),
    result_action="return_value",
    suppress_keyboard_interrupt=False,
)
app.command(enrollments.enrollments, help_epilogue=enrollments.EXAMPLES)
app.command(apply.apply, help_epilogue=apply.EXAMPLES)
app.command(plan.plan, help_epilogue=plan.EXAMPLES)
app.command(resume.resume, help_epilogue=resume.EXAMPLES)
app.command(undo.undo, help_epilogue=undo.EXAMPLES)
app.command(report.report, help_epilogue=report.EXAMPLES)
app.command(doctor.doctor, help_epilogue=doctor.EXAMPLES)
app.command(sandbox.sandbox, help_epilogue=sandbox.EXAMPLES)
app.command(demo.demo, help_epilogue=demo.EXAMPLES)
app.register_install_completion_command(
    help="Install completion for your shell (bash, zsh or fish), and load it at its start."
)
