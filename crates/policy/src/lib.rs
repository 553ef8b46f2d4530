//! Decides the whole confinement of a container from the request, the image and the host
