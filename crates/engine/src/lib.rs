//! The verbs and the life of a container
