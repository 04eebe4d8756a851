"""`minissm claims`: what of the paper's abstract can be seen in the rows of the studies, on one page.

rows        the rows of the studies, stored or measured here, and their medians
rules       for each claim: its studies, its checks, and the verdict that follows from them
figures     for each claim: its figures as points, the CSV file of the points, and the SVG
page        the page from these, by page.html and texts.toml
cost        the study that is no training: time and memory over the length
command     the command: which studies are trained here
"""
