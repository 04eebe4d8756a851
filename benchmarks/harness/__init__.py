"""How workloads are run and reported: measure.py runs, libraries.py has the libraries, report.py writes."""
