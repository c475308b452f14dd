from edgelinear.parallel.style import EdgeParallel
