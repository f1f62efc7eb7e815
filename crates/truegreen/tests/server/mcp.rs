//! `truegreen mcp` as an assistant meets it: the real process, JSON-RPC line by line, and a real server behind it.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use crate::incidents::with_finding;

struct Assistant {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
    next: u64,
}

impl Assistant {
    fn start(url: &str) -> Assistant {
        let mut command = Command::new(env!("CARGO_BIN_EXE_truegreen"));
        command.args(["mcp", "--url", url]).env_remove("TRUEGREEN_LOG");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (stdin, stdout) = (child.stdin.take(), BufReader::new(child.stdout.take().unwrap()));
        let mut assistant = Assistant { child, stdin, stdout, next: 1 };
        let client = json!({"name": "test", "version": "1"});
        let hello = json!({"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": client});
        let greeting = assistant.call("initialize", &hello);
        assert_eq!(greeting["result"]["serverInfo"]["name"], "truegreen", "{greeting}");
        assert!(greeting["result"]["capabilities"]["tools"].is_object(), "{greeting}");
        assistant.say(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
        assistant
    }

    fn say(&mut self, message: &Value) {
        writeln!(self.stdin.as_mut().unwrap(), "{message}").unwrap();
    }

    fn call(&mut self, method: &str, params: &Value) -> Value {
        let id = self.next;
        self.next += 1;
        self.say(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}));
        loop {
            let mut line = String::new();
            assert!(self.stdout.read_line(&mut line).unwrap() > 0, "it ended instead of answering {method}");
            let answer: Value = serde_json::from_str(&line).unwrap();
            if answer["id"] == id {
                return answer;
            }
        }
    }

    /// What a tool answers, as JSON; and whether it says that it failed.
    fn tool(&mut self, name: &str, arguments: Value) -> (Value, bool) {
        let answer = self.call("tools/call", &json!({"name": name, "arguments": arguments}));
        let result = &answer["result"];
        let text = result["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{answer}"));
        let failed = result["isError"] == true;
        (if failed { json!(text) } else { serde_json::from_str(text).unwrap() }, failed)
    }
}

impl Drop for Assistant {
    fn drop(&mut self) {
        // It ends when nobody speaks any more.
        drop(self.stdin.take());
        let ended = self.child.wait().unwrap();
        assert!(std::thread::panicking() || ended.success(), "{ended}");
    }
}

#[test]
fn every_tool_only_reads_and_says_what_it_takes() {
    let mut assistant = Assistant::start("http://127.0.0.1:9");
    let tools = assistant.call("tools/list", &json!({}))["result"]["tools"].clone();
    let tools = tools.as_array().unwrap();
    let mut names: Vec<&str> = tools.iter().map(|tool| tool["name"].as_str().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "contrast",
            "get_blind_spots",
            "get_books",
            "get_diagnosis",
            "get_finding",
            "get_incident",
            "get_probes",
            "list_changes",
            "list_findings",
            "list_incidents",
            "trace_key"
        ]
    );
    for tool in tools {
        assert_eq!(tool["annotations"]["readOnlyHint"], true, "{tool}");
        assert_eq!(tool["annotations"]["destructiveHint"], false, "{tool}");
        assert!(tool["description"].as_str().unwrap().len() > 40 && tool["inputSchema"]["type"] == "object", "{tool}");
    }
    let trace = tools.iter().find(|tool| tool["name"] == "trace_key").unwrap();
    assert_eq!(trace["inputSchema"]["required"], json!(["key"]));
    assert!(trace["inputSchema"]["properties"]["key"]["description"].is_string());
    let (told, failed) = assistant.tool("list_findings", json!({}));
    assert!(failed && told.as_str().unwrap().contains("hint: is `truegreen serve` running there?"), "{told}");
}

/// Guarantee: the tools answer what the API answers, and what is not there is said with what to do.
#[test]
fn tools_answer_what_the_server_knows() {
    let (server, finding) = with_finding("o-1");
    let mut assistant = Assistant::start(&format!("http://{}", server.web));
    let (findings, _) = assistant.tool("list_findings", json!({"status": "open"}));
    assert_eq!(findings["findings"][0]["id"], finding.as_str());
    let (one, _) = assistant.tool("get_finding", json!({ "finding": finding }));
    assert_eq!((one["finding"]["kind"].as_str(), one["recurrence"]["says"].is_string()), (Some("no_reason"), true));
    let (books, _) = assistant.tool("get_books", json!({"flow": "orders"}));
    assert_eq!(books["flows"]["orders"]["entered"], 1, "{books}");
    assert_eq!(books["minutes"].as_array().unwrap().len(), 1, "{books}");
    let (trace, _) = assistant.tool("trace_key", json!({"key": "o-1", "flow": "orders"}));
    assert_eq!(trace["trace"]["journeys"][0]["verdict"], "rejected", "{trace}");
    assert!(assistant.tool("get_probes", json!({})).0["claims"].is_array());
    assert!(assistant.tool("get_blind_spots", json!({})).0["blind_spots"].is_array());
    assert!(assistant.tool("list_incidents", json!({})).0["incidents"].is_array());
    let (told, failed) = assistant.tool("get_incident", json!({"incident": "INC-1"}));
    assert!(failed && told.as_str().unwrap().contains("hint: /api/v1/incidents lists them"), "{told}");
    let (told, failed) = assistant.tool("trace_key", json!({"key": "o-9"}));
    assert!(failed && told.as_str().unwrap().contains("nothing is known of"), "{told}");
    let wrong = assistant.call("tools/call", &json!({"name": "trace_key", "arguments": {}}));
    assert!(wrong["error"].is_object() || wrong["result"]["isError"] == true, "{wrong}");
}
