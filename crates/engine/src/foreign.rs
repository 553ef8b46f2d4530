//! Images of machines that are not like this one. They run where the kernel
//! has an emulator for them (`binfmt_misc`).

use crate::{Container, Error, house::House, registries};
use spec::image::{ImageConfig, Platform};

/// Whether an image is for the platform that is asked for, which may be none;
/// otherwise what its user is to know.
///
/// # Errors
/// `OtherPlatform` if it is for another; a platform that is none.
pub(crate) fn judge(name: &str, image: &ImageConfig, asked: &str) -> Result<Option<String>, Error> {
    let asked = registries::platform(asked)?;
    let Some(own) = image.platform() else { return Ok(None) };
    match asked {
        Some(wanted) if own.distance(&wanted).is_none() => Err(Error::OtherPlatform {
            image: name.to_owned(),
            wanted: wanted.to_string(),
            actual: own.to_string(),
        }),
        Some(_) => Ok(None),
        None => Ok(differs(&own).map(|host| {
            format!(
                "The requested image's platform ({own}) does not match the detected host platform \
                 ({host}) and no specific platform was requested"
            )
        })),
    }
}

/// The host's platform, where it does not run what is for another.
fn differs(own: &Platform) -> Option<Platform> {
    Some(image::host()).filter(|host| !host.runs(own))
}

/// ENOEXEC in the words of `strerror(3)`, after the program's name.
const NO_FORMAT: &str = "exec format error";

impl House {
    /// Adds to the error of a start why this host does not know the program's
    /// format, where that is a matter of the image's platform.
    pub(crate) fn why_not_here(&self, container: &Container, error: Error) -> Error {
        // An image that is gone or broken says nothing of its platform; of a
        // build's state the build says it.
        let id = container.image.parse().ok();
        let image = id.and_then(|id| self.images.inspect(&id).ok());
        why_not_here(error, image.and_then(|image| image.config.platform()))
    }
}

/// The same of an image that is for `own`.
pub(crate) fn why_not_here(error: Error, own: Option<Platform>) -> Error {
    match (error, own.and_then(|own| Some((differs(&own)?, own)))) {
        (Error::Start { message, code }, Some((host, own))) if message.ends_with(NO_FORMAT) => {
            let message = format!(
                "{message}: the image is for {own}, and this host ({host}) has no emulator of that \
                 registered (binfmt_misc)"
            );
            Error::Start { message, code }
        }
        (error, _) => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(architecture: &str) -> ImageConfig {
        ImageConfig { architecture: architecture.into(), os: "linux".into(), ..Default::default() }
    }

    #[test]
    fn an_image_is_for_the_platform_that_is_asked_for_or_is_none() {
        assert_eq!(judge("x", &image("arm64"), "linux/arm64/v8").expect("its own"), None);
        assert_eq!(judge("x", &image("s390x"), "s390x").expect("its own"), None);
        let error = judge("x", &image("s390x"), "linux/ppc64le").expect_err("another");
        let words = "image with reference x was found but does not match the specified platform: \
                     wanted linux/ppc64le, actual: linux/s390x";
        assert_eq!((error.kind(), error.to_string().as_str()), (crate::Kind::NotFound, words));
        assert!(judge("x", &image("s390x"), "a/b/c/d").is_err());
    }

    #[test]
    fn what_the_host_does_not_run_is_told() {
        let own = image::host().architecture;
        assert_eq!(judge("x", &image(&own), "").expect("none asked for"), None);
        assert_eq!(judge("x", &image(""), "").expect("it does not say"), None);
        let told = judge("x", &image("s390x"), "").expect("none asked for").expect("foreign");
        assert!(told.contains("(linux/s390x)") && told.contains(&own), "{told}");
        let error = |message: &str| Error::Start { message: message.into(), code: 126 };
        let why = |message, image: ImageConfig| why_not_here(error(message), image.platform());
        let words = why("exec /a: exec format error", image("s390x")).to_string();
        assert!(words.contains("for linux/s390x") && words.contains("binfmt_misc"), "{words}");
        assert_eq!(why("exec /a: x", image("s390x")).to_string(), "exec /a: x");
        let broken = "exec /a: exec format error";
        assert_eq!(why(broken, image(&own)).to_string(), broken, "the program's own fault");
    }
}
