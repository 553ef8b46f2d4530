//! A real registry on a test host: Debian's `docker-registry`.

use crate::{Engine, until};
use std::{
    fs,
    path::PathBuf,
    process::{Child, Stdio},
};

/// Whom it lets in, and how it is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wants {
    /// Anybody, in the clear.
    Nothing,
    /// `user` with `secret`, in the clear.
    Password,
    /// TLS, its certificate by an authority of its own.
    Tls,
    /// The same, and from clients a certificate of that authority.
    Certificate,
}

/// Ends when dropped.
pub struct Registry {
    child: Child,
    /// `HOST:PORT`.
    pub address: String,
}

/// `user:secret`, as htpasswd(1) has it.
const HTPASSWD: &str = "user:$2b$04$CbMhlU9sIoVW/NIw4JWzJuUXq77gfync/dDDLewGFXuQmI2SnF/xq\n";

impl Registry {
    /// A registry on the engine's host. Its files are in the engine's scratch,
    /// `registry-PORT`: the authority is `ca.crt`, a client is `client.cert`.
    ///
    /// # Panics
    /// If it does not come up.
    pub fn start(engine: &Engine, host: &str, port: u16, wants: Wants) -> Self {
        let address = format!("{host}:{port}");
        let folder = engine.scratch().join(format!("registry-{port}"));
        fs::create_dir_all(&folder).expect("scratch");
        let at = folder.display();
        let more = match wants {
            Wants::Nothing => String::new(),
            Wants::Password => {
                fs::write(folder.join("htpasswd"), HTPASSWD).expect("scratch");
                format!("auth: {{htpasswd: {{realm: test, path: {at}/htpasswd}}}}\n")
            }
            Wants::Tls | Wants::Certificate => {
                certify(engine, &folder, host);
                String::new()
            }
        };
        let tls = match wants {
            Wants::Tls => format!(", tls: {{certificate: {at}/own.crt, key: {at}/own.key}}"),
            Wants::Certificate => format!(
                ", tls: {{certificate: {at}/own.crt, key: {at}/own.key, clientcas: [{at}/ca.crt]}}"
            ),
            Wants::Nothing | Wants::Password => String::new(),
        };
        let text = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {at}/data}}}}\n\
             http: {{addr: \"{address}\"{tls}}}\n{more}"
        );
        let config = folder.join("config.yml");
        fs::write(&config, text).expect("scratch");
        let program = std::env::var_os("COFFERDAM_REGISTRY")
            .map_or_else(|| PathBuf::from("docker-registry"), PathBuf::from);
        let log = fs::File::create(folder.join("log")).expect("scratch");
        let mut command = engine.host().command(program);
        command.arg("serve").arg(config).stdin(Stdio::null());
        command.stdout(log.try_clone().expect("log")).stderr(log);
        let mut child = command.spawn().expect("nsenter(1) starts");
        until("the registry", || {
            let ended = child.try_wait().expect("our child");
            let said = || fs::read_to_string(folder.join("log")).unwrap_or_default();
            assert!(ended.is_none(), "the registry ended: {}", said());
            engine.host().sh(&format!("ss -Hltn src {address} | grep -q .")).status.success()
        });
        Self { child, address }
    }

    /// The full name of an image there.
    pub fn name(&self, rest: &str) -> String {
        format!("{}/{rest}", self.address)
    }
}

/// Makes an authority, a certificate of it for `host`, and one for clients.
fn certify(engine: &Engine, folder: &std::path::Path, host: &str) {
    engine.host().says(&format!(
        "cd {} && exec 2>&1 && key='-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 9' && \
         openssl req -x509 $key -keyout ca.key -out ca.crt -subj /CN=authority && \
         openssl req $key -keyout own.key -out own.csr -subj /CN=registry && \
         echo 'subjectAltName=IP:{host}' > san && \
         openssl x509 -req -in own.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 9 \
         -extfile san -out own.crt && \
         openssl req $key -keyout client.key -out client.csr -subj /CN=client && \
         echo 'extendedKeyUsage=clientAuth' > use && \
         openssl x509 -req -in client.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 9 \
         -extfile use -out client.cert",
        folder.display()
    ));
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
