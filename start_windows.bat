@echo off
rem Builds what is missing and starts the server. Arguments go to "oui serve".
rem
rem Needed: Rust (rustup, with the Visual Studio build tools); Python with pip for the web client, once.
rem Settings come from the environment or from a file .env in this folder, see .env.example.
setlocal
cd /d "%~dp0"

set "TARGET=target"
if defined CARGO_TARGET_DIR set "TARGET=%CARGO_TARGET_DIR%"
set "OUI=%TARGET%\release\oui.exe"

where cargo >nul 2>nul
if errorlevel 1 (
  if not exist "%OUI%" (
    echo cargo was not found. Install Rust from rustup first. 1>&2
    exit /b 1
  )
) else (
  rem Cargo builds only what has changed.
  cargo build --release --locked --package oui-server || exit /b 1
)

if not defined FRONTEND_BUILD_DIR (
  "%OUI%" frontend install || echo The web client is not there, so only the API is served. 1>&2
)

if not defined OUI_PYTHON if not exist "data\python\Scripts\python.exe" (
  "%OUI%" python install || echo Tools and functions that are written in Python will not run. 1>&2
)

"%OUI%" serve %*
exit /b %errorlevel%
