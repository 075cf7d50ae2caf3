//! A browser without a window, and a server for the files of a folder.

use std::future::Future;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fantoccini::elements::Element;
use fantoccini::wd::{Capabilities, WebDriverCompatibleCommand};
use fantoccini::{Client, ClientBuilder, Locator};
use hyper::Method;
use hyper_util::client::legacy::connect::HttpConnector;
use reqwest::Url;
use serde_json::{Value, json};

use super::server::{FakeResponse, serve};

/// chromedriver; killed when dropped.
struct Driver(Child);

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Driver {
    /// Starts it on a free port of loopback. Returns its address, too.
    fn start() -> (Self, String) {
        let mut child = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver starts");
        let output = BufReader::new(child.stdout.take().unwrap());
        let driver = Self(child);
        let mut lines = output.lines().map_while(Result::ok);
        let port = lines
            .find_map(|line| Some(line.split_once("successfully on port ")?.1.to_owned()))
            .expect("chromedriver says its port");
        // It stops when nobody reads its output.
        std::thread::spawn(move || lines.for_each(drop));
        let address = format!("http://127.0.0.1:{}", port.trim_end_matches('.'));
        (driver, address)
    }
}

/// Runs `test` with a browser, which is closed in any case.
pub fn with_browser<F>(test: impl FnOnce(Browser) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let (driver, address) = Driver::start();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let outcome = runtime.block_on(async {
        let mut builder = ClientBuilder::new(HttpConnector::new());
        let client = builder.capabilities(capabilities()).connect(&address);
        let client = client.await.unwrap();
        let outcome = tokio::spawn(test(Browser(client.clone()))).await;
        client.close().await.unwrap();
        outcome
    });
    drop(driver);
    if let Err(error) = outcome {
        std::panic::resume_unwind(error.into_panic());
    }
}

fn capabilities() -> Capabilities {
    // chromedriver would prefer a Google Chrome, which may be of another version.
    let path = std::env::var_os("PATH").unwrap();
    let mut programs = std::env::split_paths(&path).map(|folder| folder.join("chromium"));
    let chromium = programs.find(|program| program.exists());
    let chromium = chromium.expect("'make test' installs chromium");
    let arguments = [
        "--headless=new",
        // Root cannot use the sandbox, and the pages are our own.
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--window-size=1000,1000",
    ];
    let capabilities = json!({
        "browserName": "chrome",
        "goog:chromeOptions": { "binary": chromium, "args": arguments },
        "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" },
    });
    capabilities.as_object().unwrap().clone()
}

/// A command of chromedriver beyond the standard ones.
#[derive(Debug)]
struct Extension {
    path: &'static str,
    body: Value,
}

impl WebDriverCompatibleCommand for Extension {
    fn endpoint(
        &self,
        base: &Url,
        session: Option<&str>,
    ) -> Result<Url, <Url as std::str::FromStr>::Err> {
        let session = session.unwrap_or_default();
        base.join(&format!("session/{session}/{}", self.path))
    }

    fn method_and_body(&self, _: &Url) -> (Method, Option<String>) {
        (Method::POST, Some(self.body.to_string()))
    }
}

/// A session of a browser.
#[derive(Clone)]
pub struct Browser(Client);

impl Browser {
    pub async fn open(&self, url: &str) {
        self.0.goto(url).await.unwrap();
    }

    pub async fn find(&self, selector: &str) -> Element {
        self.0.find(Locator::Css(selector)).await.unwrap()
    }

    /// Presses keys in whatever has the focus.
    pub async fn press(&self, keys: &str) {
        let focused = self.0.active_element().await.unwrap();
        focused.send_keys(keys).await.unwrap();
    }

    /// The value of an expression in the page. A promise is awaited.
    pub async fn value(&self, expression: &str) -> Value {
        let script = format!(
            "const done = arguments[arguments.length - 1];
             Promise.resolve({expression}).then(done, (error) => done(`failed: ${{error}}`));"
        );
        self.0.execute_async(&script, Vec::new()).await.unwrap()
    }

    /// Waits until an expression in the page is true.
    pub async fn wait_for(&self, expression: &str) {
        let start = Instant::now();
        while self.value(expression).await != true {
            assert!(start.elapsed() < Duration::from_secs(20), "{expression}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Sends a command of the Chrome `DevTools` protocol.
    pub async fn command(&self, name: &str, parameters: Value) {
        let body = json!({ "cmd": name, "params": parameters });
        self.extension("goog/cdp/execute", body).await;
    }

    /// Makes the window as wide as a phone, or as before.
    pub async fn set_width(&self, width: Option<u32>) {
        let metrics = json!({
            "width": width.unwrap_or(0),
            "height": 0,
            "deviceScaleFactor": 0,
            "mobile": width.is_some(),
        });
        self.command("Emulation.setDeviceMetricsOverride", metrics)
            .await;
    }

    /// Selects the `dark` or the `light` theme.
    pub async fn set_theme(&self, theme: &str) {
        let feature = json!({ "name": "prefers-color-scheme", "value": theme });
        let media = json!({ "features": [feature] });
        self.command("Emulation.setEmulatedMedia", media).await;
    }

    async fn extension(&self, path: &'static str, body: Value) -> Value {
        self.0.issue_cmd(Extension { path, body }).await.unwrap()
    }

    /// The messages of a log since it was read last.
    async fn log(&self, kind: &str) -> Vec<String> {
        let entries = self.extension("se/log", json!({ "type": kind })).await;
        let entries = entries.as_array().unwrap().iter();
        let messages = entries.map(|entry| entry["message"].as_str().unwrap().to_owned());
        messages.collect()
    }

    /// What the page wrote on the console, or the browser about it.
    pub async fn console(&self) -> Vec<String> {
        self.log("browser").await
    }

    /// The URL of every request so far.
    pub async fn requests(&self) -> Vec<String> {
        let log = self.log("performance").await;
        let urls = log.iter().filter_map(|entry| {
            let entry: Value = serde_json::from_str(entry).unwrap();
            let message = &entry["message"];
            let is_request = message["method"] == "Network.requestWillBeSent";
            let url = message["params"]["request"]["url"].as_str();
            url.filter(|_| is_request).map(ToOwned::to_owned)
        });
        urls.collect()
    }

    /// The rules of accessibility that the page breaks, by axe, each with the elements.
    pub async fn broken_rules(&self) -> Vec<String> {
        let path = std::env::var("NIX_OCI_HASHES_AXE").expect("'make test' sets it");
        let axe = std::fs::read_to_string(path).unwrap();
        self.0.execute(&axe, Vec::new()).await.unwrap();
        let found = self.value("axe.run().then(({ violations }) => violations)");
        let found = found.await;
        let rules = found.as_array().unwrap_or_else(|| panic!("{found}"));
        rules
            .iter()
            .map(|rule| {
                let nodes = rule["nodes"].as_array().unwrap().iter();
                let nodes: Vec<_> = nodes.map(|node| node["html"].to_string()).collect();
                format!("{}: {}", rule["help"], nodes.join(" "))
            })
            .collect()
    }
}

/// Serves the files of `folder` on loopback. Returns the URL.
pub fn serve_files(folder: &Path) -> String {
    let folder = folder.to_owned();
    let address = serve(move |request| {
        let path = folder.join(request.path.trim_start_matches('/'));
        let media_type = match path.extension().and_then(|end| end.to_str()) {
            Some("html") => "text/html",
            Some("css") => "text/css",
            Some("js") => "text/javascript",
            Some("svg") => "image/svg+xml",
            Some("xml") => "text/xml",
            _ => "application/json",
        };
        match std::fs::read(path) {
            Ok(content) => FakeResponse::status(200).with_body(media_type, content),
            Err(_) => FakeResponse::status(404),
        }
    });
    format!("http://{address}")
}
