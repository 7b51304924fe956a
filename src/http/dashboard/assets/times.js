// Percentiles over several buckets: those of the sum of their counts. Percentiles themselves cannot be added up or averaged.

/** The times in milliseconds within which these shares of the finished events were finished; null if there were none. */
export function percentiles(series, shares) {
  const bounds = series.processing_time_bounds_ms;
  const counts = [...bounds, Infinity].map((_, place) => series.buckets.reduce((all, bucket) => all + bucket.processing_times[place], 0));
  const total = counts.reduce((all, count) => all + count, 0);
  return shares.map((share) => (total > 0 ? quantile(bounds, counts, share * total) : null));
}

// In a straight line between the bounds of the class; the last class has no end.
function quantile(bounds, counts, rank) {
  let below = 0;
  for (const [place, count] of counts.entries()) {
    const begin = place === 0 ? 0 : bounds[place - 1];
    if (count > 0 && below + count >= rank) return begin + ((rank - below) / count) * ((bounds[place] ?? begin) - begin);
    below += count;
  }
  return bounds.at(-1);
}
