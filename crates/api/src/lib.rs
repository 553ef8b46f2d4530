//! The Docker Engine HTTP API: requests to engine calls, errors to status codes
