"""`minissm bench`: minissm and other libraries at the same workloads, in turn, beside what this processor can do.

workloads.py and training.py say what is measured, ours.py and peers/ how it is computed; measure.py runs it, into a
report of plain dicts and lists (the JSON); goals.py judges a report, table.py and page.py show it.
"""
