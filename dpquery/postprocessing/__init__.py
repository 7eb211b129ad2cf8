"""Noisy integers to values with intervals. Free: nothing but what was released is read.

answer          the rows of an answer: named columns, HAVING, ORDER BY, LIMIT
estimates       each aggregate off its measurements, with its interval
histograms, variances, intervals    how: means, quantiles, variances, Fieller's interval
computed, linear_forms              expressions over released values
expected        how far intervals will reach, from the plan alone
"""
