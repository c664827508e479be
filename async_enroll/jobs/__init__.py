"""Runs whole jobs: takes their input, plans it, delivers it, stops and resumes."""
