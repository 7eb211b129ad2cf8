"""From a resolved request to a priced plan: bound, measure, calibrate. Pure, but for the conversion it is handed."""
