//! Keys of image generation and image editing.

use serde_json::Value;

use crate::providers;
use crate::key::{Key, keys};

/// ComfyUI's stock text-to-image graph in API form.
const COMFYUI_WORKFLOW_DEFAULT: &str = include_str!("../../data/comfyui-workflow.json");

keys! {
    "Images";

    /// Offers image generation.
    pub static ENABLE_IMAGE_GENERATION: Key<bool> = Key::bool("image_generation.enable", false);
    /// Who generates images: `openai`, `gemini`, `comfyui` or `automatic1111`.
    pub static IMAGE_GENERATION_ENGINE: Key<String> = Key::text("image_generation.engine", "openai");
    /// Model that generates images.
    pub static IMAGE_GENERATION_MODEL: Key<String> = Key::text("image_generation.model", "");
    /// Size of generated images, as `WIDTHxHEIGHT` or `auto`.
    pub static IMAGE_SIZE: Key<String> = Key::text("image_generation.size", "512x512");
    /// Sampling steps of a generated image.
    pub static IMAGE_STEPS: Key<i64> = Key::int("image_generation.steps", 50);
    /// Lets a task model rewrite the prompt for the image engine.
    pub static ENABLE_IMAGE_PROMPT_GENERATION: Key<bool> = Key::bool("image_generation.prompt.enable", true);
    /// Address of AUTOMATIC1111.
    pub static AUTOMATIC1111_BASE_URL: Key<String> = Key::text("image_generation.automatic1111.base_url", "");
    /// Credentials of AUTOMATIC1111, as `user:password`.
    pub static AUTOMATIC1111_API_AUTH: Key<String> =
        Key::text("image_generation.automatic1111.api_auth", "").secret();
    /// More AUTOMATIC1111 parameters, as a JSON object.
    pub static AUTOMATIC1111_PARAMS: Key<Value> = Key::object("image_generation.automatic1111.api_params");
    /// Address of ComfyUI.
    pub static COMFYUI_BASE_URL: Key<String> = Key::text("image_generation.comfyui.base_url", "");
    /// Key of ComfyUI.
    pub static COMFYUI_API_KEY: Key<String> = Key::text("image_generation.comfyui.api_key", "").secret();
    /// ComfyUI workflow in API form, as a JSON text.
    pub static COMFYUI_WORKFLOW: Key<String> =
        Key::text("image_generation.comfyui.workflow", COMFYUI_WORKFLOW_DEFAULT);
    /// Which nodes of the workflow take prompt, size and so on, as a JSON list.
    pub static COMFYUI_WORKFLOW_NODES: Key<Value> = Key::array("image_generation.comfyui.nodes");
    /// Address for images by an OpenAI-compatible provider.
    pub static IMAGES_OPENAI_API_BASE_URL: Key<String> =
        Key::text("image_generation.openai.api_base_url", providers::OPENAI_URL);
    /// API version for that address, when it is Azure.
    pub static IMAGES_OPENAI_API_VERSION: Key<String> = Key::text("image_generation.openai.api_version", "");
    /// Key for that address.
    pub static IMAGES_OPENAI_API_KEY: Key<String> =
        Key::text("image_generation.openai.api_key", "")
            .from(providers::images_openai_key, providers::OPENAI_KEY_SOURCES)
            .secret();
    /// More parameters for that address, as a JSON object.
    pub static IMAGES_OPENAI_PARAMS: Key<Value> = Key::object("image_generation.openai.params");
    /// Address of Gemini.
    pub static IMAGES_GEMINI_API_BASE_URL: Key<String> =
        Key::text("image_generation.gemini.api_base_url", "").or_env(&["GEMINI_API_BASE_URL"]);
    /// Key of Gemini.
    pub static IMAGES_GEMINI_API_KEY: Key<String> =
        Key::text("image_generation.gemini.api_key", "").or_env(&["GEMINI_API_KEY"]).secret();
    /// Gemini method: `predict` or `generateContent`; empty picks by model.
    pub static IMAGES_GEMINI_ENDPOINT_METHOD: Key<String> =
        Key::text("image_generation.gemini.endpoint_method", "");
    /// Offers image editing.
    pub static ENABLE_IMAGE_EDIT: Key<bool> = Key::bool("images.edit.enable", false);
    /// Who edits images: `openai`, `gemini` or `comfyui`.
    pub static IMAGE_EDIT_ENGINE: Key<String> = Key::text("images.edit.engine", "openai");
    /// Model that edits images.
    pub static IMAGE_EDIT_MODEL: Key<String> = Key::text("images.edit.model", "");
    /// Size of edited images; empty keeps the original.
    pub static IMAGE_EDIT_SIZE: Key<String> = Key::text("images.edit.size", "");
    /// Address for edits by an OpenAI-compatible provider.
    pub static IMAGES_EDIT_OPENAI_API_BASE_URL: Key<String> =
        Key::text("images.edit.openai.api_base_url", providers::OPENAI_URL);
    /// API version for that address, when it is Azure.
    pub static IMAGES_EDIT_OPENAI_API_VERSION: Key<String> = Key::text("images.edit.openai.api_version", "");
    /// Key for that address.
    pub static IMAGES_EDIT_OPENAI_API_KEY: Key<String> =
        Key::text("images.edit.openai.api_key", "")
            .from(providers::images_edit_openai_key, providers::OPENAI_KEY_SOURCES)
            .secret();
    /// Address of Gemini for edits.
    pub static IMAGES_EDIT_GEMINI_API_BASE_URL: Key<String> =
        Key::text("images.edit.gemini.api_base_url", "").or_env(&["GEMINI_API_BASE_URL"]);
    /// Key of Gemini for edits.
    pub static IMAGES_EDIT_GEMINI_API_KEY: Key<String> =
        Key::text("images.edit.gemini.api_key", "").or_env(&["GEMINI_API_KEY"]).secret();
    /// Address of ComfyUI for edits.
    pub static IMAGES_EDIT_COMFYUI_BASE_URL: Key<String> = Key::text("images.edit.comfyui.base_url", "");
    /// Key of ComfyUI for edits.
    pub static IMAGES_EDIT_COMFYUI_API_KEY: Key<String> =
        Key::text("images.edit.comfyui.api_key", "").secret();
    /// ComfyUI workflow for edits in API form, as a JSON text.
    pub static IMAGES_EDIT_COMFYUI_WORKFLOW: Key<String> = Key::text("images.edit.comfyui.workflow", "");
    /// Which nodes of the edit workflow take image, prompt and so on, as a JSON list.
    pub static IMAGES_EDIT_COMFYUI_WORKFLOW_NODES: Key<Value> = Key::array("images.edit.comfyui.nodes");
}
