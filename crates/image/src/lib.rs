//! Content by digest, manifests, names, import and load
