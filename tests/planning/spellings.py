"""Identifiers in several spellings, for Hypothesis."""

from unicodedata import normalize

from hypothesis import strategies as st

_NAMES = ["jane@example.org", "jané", "straße", "strasse", "i\u0307", "jané@example.org", "łojka"]
_SPELLINGS = [
    str,
    str.capitalize,
    lambda name: normalize("NFD", name),
    lambda name: "".join(c.upper() if c.upper().lower() == c else c for c in name),
]

identifiers = st.one_of(
    st.builds(
        lambda name, spell: spell(name), st.sampled_from(_NAMES), st.sampled_from(_SPELLINGS)
    ),
    st.text("aAéÉ\u0301ßsS@", min_size=1, max_size=3),
)
"""Few learners, each in many spellings."""
