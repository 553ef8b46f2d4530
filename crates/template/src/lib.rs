//! Go's text templates, for `--format` and the tags of logs, on JSON.
//!
//! - `lex`: text into tokens
//! - `parse`: tokens into nodes
//! - `fill`: nodes and data into text
//! - `functions`, `printf`: what a template may call
//! - `gaps`: what Docker's types have and their JSON has not
//!
//! Objects are gone through in the order of their keys, and what they have not
//! is an error, as Go and Docker have it.

mod fill;
mod functions;
mod gaps;
mod lex;
mod parse;
mod printf;

pub use functions::shown;
pub use gaps::{LABELS, NOTHING, whole};

use serde_json::Value;

/// Why a template cannot be used, in words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Error(pub String);

/// A template with Docker's functions added to Go's.
pub struct Template(Vec<parse::Node>);

impl Template {
    /// Parses `text`.
    ///
    /// # Errors
    /// If it is no template.
    pub fn new(text: &str) -> Result<Self, Error> {
        parse::parse(text).map(Self).map_err(Error)
    }

    /// Parses the template of a row, in which `\t` and `\n` mean a tab and
    /// the end of a line wherever they stand.
    ///
    /// # Errors
    /// If it is no template.
    pub fn of_row(text: &str) -> Result<Self, Error> {
        Self::new(&text.replace("\\t", "\t").replace("\\n", "\n"))
    }

    /// Fills it in.
    ///
    /// # Errors
    /// If it asks for what the data has not.
    pub fn fill(&self, data: &Value) -> Result<String, Error> {
        fill::fill(&self.0, data, false).map_err(Error)
    }

    /// Fills in the headers of a table.
    ///
    /// # Errors
    /// If it asks for what the table has not.
    pub fn heading(&self, headers: &Value) -> Result<String, Error> {
        fill::fill(&self.0, headers, true).map_err(Error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn filled(template: &str, data: &Value) -> String {
        Template::new(template).and_then(|t| t.fill(data)).expect("a good template")
    }

    #[test]
    fn what_scripts_ask_inspect_for() {
        let data = json!({"State": {"Pid": 7, "Running": true}, "Name": "/a", "Mounts": [{"Type": "bind"}],
            "Networks": {"bridge": {"IPAddress": "172.17.0.2"}}, "Labels": {"com.example.x": "y"}});
        assert_eq!(filled("{{.State.Pid}}", &data), "7");
        assert_eq!(filled("{{range .Networks}}{{.IPAddress}}{{end}}", &data), "172.17.0.2");
        assert_eq!(filled("{{index .Labels \"com.example.x\"}}", &data), "y");
        assert_eq!(filled("{{json .State}}", &data), r#"{"Pid":7,"Running":true}"#);
        assert_eq!(filled("{{if .State.Running}}up{{else}}down{{end}}", &data), "up");
        assert_eq!(filled("{{range $k, $v := .Networks}}{{$k}}{{end}}", &data), "bridge");
        assert_eq!(filled("{{(index .Mounts 0).Type}}", &data), "bind");
        assert_eq!(filled("{{.Name}}\\t{{len .Mounts}}", &data), "/a\\t1");
        let row = Template::of_row("{{.Name}}\\t{{len .Mounts}}").expect("a good template");
        assert_eq!(row.fill(&data).expect("fits"), "/a\t1");
        assert_eq!(filled("{{upper .Name}} {{join (split .Name \"/\") \"-\"}}", &data), "/A -a");
    }

    #[test]
    fn a_row_tells_its_labels_one_by_one_and_hides_them() {
        let row = json!({"Names": "a", (LABELS): {"k": "v,w=x"}});
        assert_eq!(filled("{{.Label \"k\"}}|{{.Label \"none\"}}", &row), "v,w=x|");
        assert_eq!(filled("{{json .}}", &row), r#"{"Names":"a"}"#);
        assert_eq!(shown(&row), json!({"Names": "a"}));
    }

    #[test]
    fn names_outlive_the_blocks_that_change_them() {
        let data = json!({"L": ["a", "b", "c"]});
        let listed = "{{$first := true}}{{range .L}}{{if $first}}{{$first = false}}{{else}},{{end}}{{.}}{{end}}";
        assert_eq!(filled(listed, &data), "a,b,c");
        assert_eq!(filled("{{$x := 1}}{{range .L}}{{$x = .}}{{end}}{{$x}}", &data), "c");
        assert_eq!(filled("{{$x := 1}}{{range .L}}{{$x := .}}{{end}}{{$x}}", &data), "1");
        assert_eq!(filled("{{$i := 9}}{{range $i, $v = .L}}{{end}}{{$i}}", &json!({"L": []})), "9");
    }

    #[test]
    fn dockers_types_have_what_their_json_leaves_out() {
        let data = whole(&json!({
            "State": {"Error": ""}, "Config": {"OnBuild": null, "Labels": {"a": "b"}},
            "HostConfig": {"Dns": [], "PidsLimit": null}, "Mounts": [{"Type": "bind"}],
            "NetworkSettings": {"Ports": {"80/tcp": null, "81/tcp": [{"HostIp": "::", "HostPort": "9"}]},
                "Networks": {"b": {"Links": null, "IPAMConfig": null}}},
        }));
        assert_eq!(
            filled("{{.Config.OnBuild}} {{.Config.Volumes}} {{.Config.StopSignal}}|", &data),
            "[] map[] |"
        );
        assert_eq!(
            filled("{{.Config.Shell}} {{.Config.Healthcheck}} {{.SizeRw}}", &data),
            "[] <nil> <nil>"
        );
        assert_eq!(
            filled("{{range .Mounts}}{{.Name}}.{{end}}{{.HostConfig.PidsLimit}}", &data),
            ".<nil>"
        );
        assert_eq!(filled("{{.NetworkSettings.Ports}}", &data), "map[80/tcp:[] 81/tcp:[{:: 9}]]");
        assert_eq!(
            filled("{{range .NetworkSettings.Networks}}{{.Links}}{{.IPAMConfig}}{{end}}", &data),
            "[]<nil>"
        );
        assert_eq!(
            filled("{{index .Config.Labels \"x\"}}.{{.Config.Labels.x}}", &data),
            ".<no value>"
        );
        assert_eq!(
            filled(
                "{{join .Config.Cmd \" \"}}.{{len .Config.Cmd}}{{range .Config.Cmd}}x{{end}}",
                &data
            ),
            ".0"
        );
        assert_eq!(
            filled("{{eq .Config.StopSignal \"\"}}{{if .Config.Volumes}}x{{end}}", &data),
            "true"
        );
        assert_eq!(filled("{{json .Config}}", &data), r#"{"Labels":{"a":"b"},"OnBuild":null}"#);
        let set = json!({"ExposedPorts": {"80/tcp": {}}});
        assert_eq!(filled("{{.ExposedPorts}}", &set), "map[80/tcp:{}]");
    }

    #[test]
    fn functions_are_gos_and_dockers() {
        let data = json!({"Id": "0123456789abcdef", "L": [1, 2, 3]});
        assert_eq!(
            filled("{{slice .Id 0 4}} {{slice .L 1}} {{slice .Id 14}}", &data),
            "0123 [2 3] ef"
        );
        assert_eq!(
            filled("{{title \"a-b c/d e_f\"}} {{split \"abc\" \"\"}}", &data),
            "A-B C/D E_f [a b c]"
        );
        assert_eq!(filled("{{eq (len .L) \"3\"}} {{eq \"4\" (len .L)}}", &data), "true false");
        assert_eq!(filled("{{print 1 2 \"a\" 3 4}}", &data), "1 2a3 4");
        assert_eq!(
            filled("{{html \"<a>\"}} {{js \"a'b\"}} {{urlquery \"a b/\"}}", &data),
            "&lt;a&gt; a\\'b a+b%2F"
        );
        let numbers = "{{1.0}} {{1.5}} {{1e6}} {{1e-7}} {{0x10}} {{'a'}} {{1_000}} {{-3}}";
        assert_eq!(filled(numbers, &data), "1 1.5 1e+06 1e-07 16 97 1000 -3");
        assert_eq!(filled(r#"{{"\x41\u00e9\a"}}"#, &data), "Aé\x07");
    }

    #[test]
    fn headers_stay_as_they_are() {
        let headers = json!({"ID": "CONTAINER ID", "Names": "NAMES"});
        let heading = |text: &str| {
            Template::of_row(text).and_then(|t| t.heading(&headers)).expect("a good template")
        };
        assert_eq!(
            heading("{{lower .Names}} {{truncate .ID 4}} {{json .ID}}"),
            "NAMES CONTAINER ID CONTAINER ID"
        );
        assert_eq!(heading("{{.Label \"com.example.x-y\"}} {{.Label \"l\"}}"), "x y l");
    }

    #[test]
    fn what_is_not_there_is_an_error_and_what_may_be_is_not() {
        let data = json!({"State": {"Pid": 7}, "Config": {}, "HostConfig": {}});
        let fill = |text: &str| Template::new(text).and_then(|t| t.fill(&whole(&data)));
        assert!(fill("{{.Nope}}").is_err() && fill("{{.State.Nope}}").is_err());
        let health = "{{if .State.Health}}{{.State.Health.Status}}{{else}}none{{end}}";
        assert_eq!(fill(health).expect("fits"), "none");
        assert_eq!(fill("{{json .State}}").expect("fits"), r#"{"Pid":7}"#);
        let words = fill("{{.Nope}}").expect_err("not there").to_string();
        assert_eq!(words, "there is no field \"Nope\"");
    }

    #[test]
    fn no_template_is_an_error_not_a_panic() {
        assert!(Template::new("{{.State").is_err());
        assert!(Template::new("{{end}}").is_err());
    }

    #[test]
    fn objects_are_gone_through_in_order() {
        let data = json!({"Ports": {"9000/tcp": 1, "80/tcp": 2, "81/udp": null}, "L": [5, 6]});
        let ports = "{{range $p, $n := .Ports}}{{$p}}={{$n}} {{end}}";
        assert_eq!(filled(ports, &data), "80/tcp=2 81/udp=<no value> 9000/tcp=1 ");
        assert_eq!(filled("{{range $i, $v := .L}}{{$i}}{{$v}}{{else}}none{{end}}", &data), "0516");
        assert_eq!(filled("{{range .None}}x{{else}}none{{end}}", &json!({"None": null})), "none");
        assert_eq!(filled("{{range .L}}{{if eq . 6}}{{break}}{{end}}{{.}}{{end}}", &data), "5");
        assert_eq!(
            filled("{{.Ports}} {{.L}}", &data),
            "map[80/tcp:2 81/udp:<nil> 9000/tcp:1] [5 6]"
        );
    }

    #[test]
    fn blanks_comments_and_variables_are_gos() {
        let data = json!({"A": {"B": "b"}, "N": 3, "E": ""});
        assert_eq!(filled("x {{- /* why */ -}} y", &data), "xy");
        assert_eq!(filled("{{/* don't }} \" */}}x{{-\n.N -}} y", &data), "x3y");
        assert_eq!(filled("{{with .E}}1{{else with .N}}{{.}}{{else}}2{{end}}", &data), "3");
        assert_eq!(filled("{{$a := .A}}{{with $a.B}}{{.}}{{$.N}}{{end}}", &data), "b3");
        assert_eq!(filled("{{with .E}}{{.}}{{else}}empty{{end}}", &data), "empty");
        assert_eq!(filled("{{if .E}}1{{else if gt .N 2}}2{{else}}3{{end}}", &data), "2");
        assert_eq!(filled("{{printf \"%-5s|%03d|%.2f\" .A.B .N 1.5}}", &data), "b    |003|1.50");
        assert_eq!(filled("{{.A.B | printf \"%q\"}} {{len .A}} {{not .E}}", &data), "\"b\" 1 true");
        assert_eq!(filled("{{and .N .A.B}} {{or .E .N}} {{ne .N 4}}", &data), "b 3 true");
        assert_eq!(filled("{{`{{raw}}`}}{{\"}}\"}}", &data), "{{raw}}}}");
        assert_eq!(filled("{{pad .A.B 1 2}}.{{truncate \"abc\" 2}}", &data), " b  .ab");
    }

    #[test]
    fn mistakes_are_told() {
        let data = json!({"A": {"B": "b"}, "L": [1]});
        let told = |text: &str| {
            Template::new(text).and_then(|t| t.fill(&data)).expect_err(text).to_string()
        };
        for (text, part) in [
            ("{{.A", "unclosed action"),
            ("{{if .A}}", "without {{end}}"),
            ("{{nope .A}}", "function \"nope\" not defined"),
            ("{{.A.B.C}}", "no \"C\""),
            ("{{$x}}", "undefined variable \"$x\""),
            ("{{index .L 7}}", "out of range"),
            ("{{.A .L}}", "non-function .A"),
            ("{{if .No}}{{nope}}{{end}}", "function \"nope\" not defined"),
            ("{{break}}", "outside {{range}}"),
            ("{{nil}}", "nil is not a command"),
            ("{{eq}}", "wrong number of args for eq"),
            ("{{eq true \"1\"}}", "incompatible types"),
            ("{{and}}", "wrong number of args for and"),
            ("{{slice .A.B 0 9}}", "out of range"),
            ("{{/* x", "unclosed comment"),
            ("{{$x = 1}}", "undefined variable \"$x\""),
            ("{{(.A}}", "unclosed left parenthesis"),
            ("{{.A)}}", "unexpected"),
            ("{{|}}", "missing value"),
            ("{{\"x}}", "unclosed action"),
            ("{{truncate \"x\" 99999999999}}", "is no length"),
            ("{{printf \"%999999999999d\" 1}}", "is no length"),
        ] {
            assert!(told(text).contains(part), "{text}: {}", told(text));
        }
        let (brackets, blocks) = ("(".repeat(100_000), "{{if 1}}".repeat(100_000));
        assert!(told(&format!("{{{{{brackets}}}}}")).contains("too deeply"));
        assert!(told(&blocks).contains("too deeply"));
        assert!(told(&"{{with 0}}{{else with 1}}".repeat(100_000)).contains("too deeply"));
    }
}
