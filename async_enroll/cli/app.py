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
)

app: App = App(
    name="async-enroll",
    help="Move learners in and out of courses on MOOCit and Open edX.",
    help_epilogue="""\
Start here:
  async-enroll demo                      see it all on an embedded platform
  export ASYNC_ENROLL_URL=https://courses.example.org
  export ASYNC_ENROLL_TOKEN=…            or --token-file PATH
  export ASYNC_ENROLL_CLIENT_ID=…        instead of a token: to be given
  export ASYNC_ENROLL_CLIENT_SECRET=…    one; or …_CLIENT_SECRET_FILE=PATH
  async-enroll doctor                    is everything in place?
  async-enroll plan roster.csv           what would be sent?
  async-enroll apply roster.csv          do what a roster says

Exit status:
  0    all well
  1    some pairs failed; the report names them
  2    nothing was sent: unusable arguments, configuration or roster
  3    stopped with work left; with a journal, `resume` goes on
  130  interrupted, likewise""",
    help_format="plaintext",
    version=version("async_enroll"),
    result_action="return_value",
    suppress_keyboard_interrupt=False,
)
app.command(enrollments.enrollments, help_epilogue=enrollments.EXAMPLES)
app.command(apply.apply, help_epilogue=apply.EXAMPLES)
app.command(plan.plan, help_epilogue=plan.EXAMPLES)
app.command(resume.resume, help_epilogue=resume.EXAMPLES)
app.command(report.report, help_epilogue=report.EXAMPLES)
app.command(doctor.doctor, help_epilogue=doctor.EXAMPLES)
app.command(sandbox.sandbox, help_epilogue=sandbox.EXAMPLES)
app.command(demo.demo, help_epilogue=demo.EXAMPLES)
