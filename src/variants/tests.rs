//! Variants by themselves: codecs, bounds, the folder, single flight.
