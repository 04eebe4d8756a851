"""Nine exercises, the sheets that students get, and a grader that runs strangers' code: `minissm course`."""
