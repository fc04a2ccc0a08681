//! Keys of the engines that turn an uploaded document into text.

use serde_json::Value;

use crate::derive;
use crate::key::{Key, keys};

keys! {
    "Document extraction";

    /// Engine that reads documents; empty uses the built-in readers.
    pub static CONTENT_EXTRACTION_ENGINE: Key<String> =
        Key::text("rag.content_extraction_engine", "").lowercase();
    /// Media types that the engine takes as well, separated by commas; unset means its own list.
    pub static CONTENT_EXTRACTION_SUPPORTED_MEDIA_MIME_TYPES: Key<Option<Vec<String>>> =
        Key::optional_list("rag.content_extraction.supported_media_mime_types");
    /// Reads text inside the images of a PDF.
    pub static PDF_EXTRACT_IMAGES: Key<bool> = Key::bool("rag.pdf_extract_images", false);
    /// How a PDF is cut: `page` or `single`.
    pub static PDF_LOADER_MODE: Key<String> = Key::text("rag.pdf_loader_mode", "page");
    /// Key of Datalab Marker.
    pub static DATALAB_MARKER_API_KEY: Key<String> = Key::text("rag.datalab_marker_api_key", "").secret();
    /// Address of Datalab Marker; empty uses its public one.
    pub static DATALAB_MARKER_API_BASE_URL: Key<String> = Key::text("rag.datalab_marker_api_base_url", "");
    /// More Datalab Marker options, as a JSON text.
    pub static DATALAB_MARKER_ADDITIONAL_CONFIG: Key<String> =
        Key::text("rag.datalab_marker_additional_config", "");
    /// Lets Datalab Marker use a language model.
    pub static DATALAB_MARKER_USE_LLM: Key<bool> = Key::bool("rag.datalab_marker_use_llm", false);
    /// Makes Datalab Marker ignore its cache.
    pub static DATALAB_MARKER_SKIP_CACHE: Key<bool> = Key::bool("rag.datalab_marker_skip_cache", false);
    /// Makes Datalab Marker run OCR on every page.
    pub static DATALAB_MARKER_FORCE_OCR: Key<bool> = Key::bool("rag.datalab_marker_force_ocr", false);
    /// Makes Datalab Marker mark page ends.
    pub static DATALAB_MARKER_PAGINATE: Key<bool> = Key::bool("rag.datalab_marker_paginate", false);
    /// Makes Datalab Marker drop an OCR layer and redo it.
    pub static DATALAB_MARKER_STRIP_EXISTING_OCR: Key<bool> =
        Key::bool("rag.datalab_marker_strip_existing_ocr", false);
    /// Makes Datalab Marker leave images out.
    pub static DATALAB_MARKER_DISABLE_IMAGE_EXTRACTION: Key<bool> =
        Key::bool("rag.datalab_marker_disable_image_extraction", false);
    /// Makes Datalab Marker format lines.
    pub static DATALAB_MARKER_FORMAT_LINES: Key<bool> = Key::bool("rag.datalab_marker_format_lines", false);
    /// Datalab Marker output: `markdown`, `json` or `html`.
    pub static DATALAB_MARKER_OUTPUT_FORMAT: Key<String> =
        Key::text("rag.datalab_marker_output_format", "markdown");
    /// MinerU installation: `local` or `cloud`.
    pub static MINERU_API_MODE: Key<String> = Key::text("rag.mineru_api_mode", "local");
    /// Address of MinerU.
    pub static MINERU_API_URL: Key<String> = Key::text("rag.mineru_api_url", "http://localhost:8000");
    /// Seconds a MinerU job may take.
    pub static MINERU_API_TIMEOUT: Key<Option<i64>> = Key::loose_int("rag.mineru_api_timeout", "300");
    /// Key of the MinerU cloud.
    pub static MINERU_API_KEY: Key<String> = Key::text("rag.mineru_api_key", "").secret();
    /// More MinerU parameters, as a JSON object.
    pub static MINERU_PARAMS: Key<Value> = Key::object("rag.mineru_params");
    /// File name endings given to MinerU, separated by commas.
    pub static MINERU_FILE_EXTENSIONS: Key<Vec<String>> = Key::list("rag.mineru_file_extensions", &["pdf"]);
    /// Address of your own extraction service.
    pub static EXTERNAL_DOCUMENT_LOADER_URL: Key<String> = Key::text("rag.external_document_loader_url", "");
    /// Key of your own extraction service.
    pub static EXTERNAL_DOCUMENT_LOADER_API_KEY: Key<String> =
        Key::text("rag.external_document_loader_api_key", "").secret();
    /// Headers for your own extraction service, as a JSON object.
    pub static EXTERNAL_DOCUMENT_LOADER_HEADERS: Key<Value> =
        Key::object("rag.external_document_loader_headers").check(derive::object).secret();
    /// Address of Apache Tika.
    pub static TIKA_SERVER_URL: Key<String> = Key::text("rag.tika_server_url", "http://tika:9998");
    /// Major version of Apache Tika.
    pub static TIKA_SERVER_VERSION: Key<String> = Key::text("rag.tika_server_version", "3");
    /// Address of Docling.
    pub static DOCLING_SERVER_URL: Key<String> = Key::text("rag.docling_server_url", "http://docling:5001");
    /// Key of Docling.
    pub static DOCLING_API_KEY: Key<String> = Key::text("rag.docling_api_key", "").secret();
    /// More Docling parameters, as a JSON object.
    pub static DOCLING_PARAMS: Key<Value> = Key::object("rag.docling_params");
    /// Address of Azure Document Intelligence.
    pub static DOCUMENT_INTELLIGENCE_ENDPOINT: Key<String> =
        Key::text("rag.document_intelligence_endpoint", "");
    /// Key of Azure Document Intelligence.
    pub static DOCUMENT_INTELLIGENCE_KEY: Key<String> =
        Key::text("rag.document_intelligence_key", "").secret();
    /// Model of Azure Document Intelligence.
    pub static DOCUMENT_INTELLIGENCE_MODEL: Key<String> =
        Key::text("rag.document_intelligence_model", "prebuilt-layout");
    /// Address of Mistral OCR.
    pub static MISTRAL_OCR_API_BASE_URL: Key<String> =
        Key::text("rag.mistral_ocr_api_base_url", "https://api.mistral.ai/v1");
    /// Key of Mistral OCR.
    pub static MISTRAL_OCR_API_KEY: Key<String> = Key::text("rag.mistral_ocr_api_key", "").secret();
    /// Sends documents to Mistral OCR inline.
    pub static MISTRAL_OCR_USE_BASE64: Key<bool> = Key::bool("rag.mistral_ocr_use_base64", false);
    /// Address of PaddleOCR-VL.
    pub static PADDLEOCR_VL_BASE_URL: Key<String> =
        Key::text("rag.paddleocr_vl_base_url", "http://localhost:8080");
    /// Token of PaddleOCR-VL.
    pub static PADDLEOCR_VL_TOKEN: Key<String> = Key::text("rag.paddleocr_vl_token", "").secret();
    /// Preferred transcript languages, separated by commas.
    pub static YOUTUBE_LOADER_LANGUAGE: Key<Vec<String>> =
        Key::list("rag.youtube_loader_language", &["en"]).from(derive::youtube_languages, &[]);
    /// Proxy for fetching transcripts.
    pub static YOUTUBE_LOADER_PROXY_URL: Key<String> = Key::text("rag.youtube_loader_proxy_url", "");
    /// Uploaded images are shrunk to this width in pixels; unset keeps them.
    pub static FILE_IMAGE_COMPRESSION_WIDTH: Key<Option<i64>> =
        Key::optional_int("file.image_compression_width");
    /// Uploaded images are shrunk to this height in pixels; unset keeps them.
    pub static FILE_IMAGE_COMPRESSION_HEIGHT: Key<Option<i64>> =
        Key::optional_int("file.image_compression_height");
}
