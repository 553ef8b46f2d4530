//! Every operation of Docker's API, versions 1.24 to 1.51, and what it may
//! answer.
//!
//! A line is a method and a path, `=`, and answers apart by `;`: a status and
//! what comes with it. Errors are `{"message":…}` in JSON and need no word.
//!
//! | Written | Means |
//! |---|---|
//! | `200 KIND` | JSON of this kind, whole; see [`super::shape`] |
//! | `200 lines KIND` | JSON values one after the other, as they come |
//! | `200 tar`, `200 file` | an archive; bytes without a type of their own |
//! | `200 streams` | a program's streams, with or without frames |
//! | `101 streams` | the same, the connection taken over |
//! | `204`, `200 nothing` | no body |
//! | `200? …` | what needs more than an engine to be seen |

/// The table.
pub const OPERATIONS: &str = r"
GET    /_ping = 200 plain
HEAD   /_ping = 200 nothing
GET    /version = 200 Version
GET    /info = 200 Info
GET    /system/df = 200 DiskUsage ; 400
GET    /events = 200 lines Event ; 400
POST   /auth = 200? LoggedIn ; 400 ; 401 ; 500

GET    /containers/json = 200 [ContainerRow] ; 400
POST   /containers/create = 201 Created ; 400 ; 403 ; 404 ; 409
POST   /containers/prune = 200 ContainersPruned ; 400 ; 409
GET    /containers/{id}/json = 200 Container ; 400 ; 404
GET    /containers/{id}/top = 200 Top ; 400 ; 404 ; 409
GET    /containers/{id}/logs = 200 streams ; 400 ; 404
GET    /containers/{id}/changes = 200 [Change]~ ; 400 ; 404 ; 409
GET    /containers/{id}/export = 200 file ; 400 ; 404 ; 409
GET    /containers/{id}/stats = 200 lines Stats ; 400 ; 404
POST   /containers/{id}/resize = 200 nothing ; 400 ; 404 ; 409
POST   /containers/{id}/start = 204 ; 304 ; 400 ; 404 ; 409
POST   /containers/{id}/stop = 204 ; 304 ; 400 ; 404
POST   /containers/{id}/restart = 204 ; 400 ; 404
POST   /containers/{id}/kill = 204 ; 400 ; 404 ; 409
POST   /containers/{id}/update = 200 Updated ; 400 ; 404 ; 409
POST   /containers/{id}/rename = 204 ; 400 ; 404 ; 409
POST   /containers/{id}/pause = 204 ; 400 ; 404 ; 409
POST   /containers/{id}/unpause = 204 ; 400 ; 404 ; 409
POST   /containers/{id}/attach = 101 streams ; 200 streams ; 400 ; 404 ; 409
GET    /containers/{id}/attach/ws = 101 nothing ; 400 ; 404 ; 409
POST   /containers/{id}/wait = 200 lines Waited ; 400 ; 404
DELETE /containers/{id} = 204 ; 400 ; 404 ; 409
HEAD   /containers/{id}/archive = 200 stat ; 400 ; 404 ; 409
GET    /containers/{id}/archive = 200 tar ; 400 ; 404 ; 409
PUT    /containers/{id}/archive = 200 nothing ; 400 ; 403 ; 404 ; 409
POST   /containers/{id}/exec = 201 ExecCreated ; 400 ; 404 ; 409
POST   /exec/{id}/start = 200 streams ; 101 streams ; 400 ; 404 ; 409
POST   /exec/{id}/resize = 200 nothing ; 400 ; 404
GET    /exec/{id}/json = 200 Exec ; 404
POST   /commit = 201 Committed ; 400 ; 404 ; 409
GET    /containers/{id}/checkpoints = 501
POST   /containers/{id}/checkpoints = 501
DELETE /containers/{id}/checkpoints/{checkpoint} = 501

GET    /images/json = 200 [ImageRow] ; 400 ; 404
POST   /images/create = 200 lines Progress ; 400 ; 404 ; 500 ; 501
POST   /images/load = 200 lines Progress ; 400
GET    /images/search = 200? [Hit] ; 400 ; 500
POST   /images/prune = 200 ImagesPruned ; 400 ; 409
GET    /images/get = 200 tar ; 400 ; 404
GET    /images/{name}/json = 200 Image ; 400 ; 404
GET    /images/{name}/history = 200 [ImageStep] ; 400 ; 404
GET    /images/{name}/get = 200 tar ; 400 ; 404
POST   /images/{name}/push = 200 lines Progress ; 400 ; 404 ; 500
POST   /images/{name}/tag = 201 nothing ; 400 ; 404 ; 409
DELETE /images/{name} = 200 [ImageRemoved] ; 400 ; 404 ; 409
GET    /distribution/{name}/json = 200? Distribution ; 400 ; 401 ; 403 ; 404 ; 500
POST   /build = 200 lines Progress ; 400 ; 404
POST   /build/cancel = 200 nothing ; 400
POST   /build/prune = 200 BuildPruned ; 400 ; 409

GET    /volumes = 200 Volumes ; 400
POST   /volumes/create = 201 Volume ; 400 ; 404 ; 409 ; 503
POST   /volumes/prune = 200 VolumesPruned ; 400 ; 409
GET    /volumes/{name} = 200 Volume ; 404
PUT    /volumes/{name} = 503
DELETE /volumes/{name} = 204 ; 404 ; 409

GET    /networks = 200 [Network] ; 400
GET    /networks/{id} = 200 Network ; 400 ; 404
POST   /networks/create = 201 NetworkMade ; 400 ; 403 ; 404 ; 409
POST   /networks/prune = 200 NetworksPruned ; 400 ; 409
POST   /networks/{id}/connect = 200 nothing ; 400 ; 403 ; 404 ; 409
POST   /networks/{id}/disconnect = 200 nothing ; 400 ; 403 ; 404 ; 409
DELETE /networks/{id} = 204 ; 403 ; 400 ; 404 ; 409

POST   /grpc = 101 nothing ; 400
POST   /session = 101 nothing ; 400

GET    /plugins = 200 [Plugin] ; 400
GET    /plugins/privileges = 501
POST   /plugins/pull = 501
POST   /plugins/create = 501
GET    /plugins/{name}/json = 404
DELETE /plugins/{name} = 404
POST   /plugins/{name}/enable = 400 ; 404
POST   /plugins/{name}/disable = 400 ; 404
POST   /plugins/{name}/upgrade = 400 ; 404
POST   /plugins/{name}/push = 400 ; 404
POST   /plugins/{name}/set = 400 ; 404

GET    /swarm = 503
POST   /swarm/init = 400 ; 501
POST   /swarm/join = 400 ; 501
POST   /swarm/leave = 503
POST   /swarm/update = 400 ; 503
GET    /swarm/unlockkey = 503
POST   /swarm/unlock = 400 ; 503
GET    /nodes = 400 ; 503
GET    /nodes/{id} = 503
DELETE /nodes/{id} = 503
POST   /nodes/{id}/update = 400 ; 503
GET    /services = 400 ; 503
POST   /services/create = 400 ; 503
GET    /services/{id} = 400 ; 503
DELETE /services/{id} = 503
POST   /services/{id}/update = 400 ; 503
GET    /services/{id}/logs = 400 ; 503
GET    /tasks = 400 ; 503
GET    /tasks/{id} = 503
GET    /tasks/{id}/logs = 400 ; 503
GET    /secrets = 400 ; 503
POST   /secrets/create = 400 ; 503
GET    /secrets/{id} = 503
DELETE /secrets/{id} = 503
POST   /secrets/{id}/update = 400 ; 503
GET    /configs = 400 ; 503
POST   /configs/create = 400 ; 503
GET    /configs/{id} = 503
DELETE /configs/{id} = 503
POST   /configs/{id}/update = 400 ; 503
";
