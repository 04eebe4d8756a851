"""What builds the site; see docs/build.py."""
