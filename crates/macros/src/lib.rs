//! `#[boxed]`, for async functions that other crates call. The compiler makes the machine code of an `async fn` anew in
//! every crate that awaits it, along with everything that it awaits in turn: without the attribute the routers held three
//! copies of each query and of the whole way of a chat, and took most of a build. A boxed one is compiled once, where it
//! is written, for one small allocation a call.

use proc_macro::TokenStream;
use proc_macro2::TokenTree;
use quote::{format_ident, quote};
use syn::visit_mut::{self, VisitMut};
use syn::{
    Error, FnArg, GenericArgument, GenericParam, Ident, ImplItemFn, Lifetime, Pat, PathArguments, ReturnType,
    Signature, Type, TypeParamBound, TypeReference, parse_macro_input, parse_quote,
};

/// Makes `async fn name(...) -> T` a function that answers a boxed future of `T`.
///
/// The future's lifetime is `'fut`; where the type of `self` has one of its own, it is declared in a where clause. A parameter `impl Into<X>` is converted before
/// the future is made, so that the function is compiled once and not for everything that can become an `X`.
#[proc_macro_attribute]
pub fn boxed(_: TokenStream, item: TokenStream) -> TokenStream {
    let function = parse_macro_input!(item as ImplItemFn);
    expand(function).unwrap_or_else(Error::into_compile_error).into()
}

fn expand(function: ImplItemFn) -> syn::Result<proc_macro2::TokenStream> {
    let ImplItemFn {
        attrs,
        vis,
        mut sig,
        block,
        ..
    } = function;
    if sig.asyncness.take().is_none() {
        return Err(Error::new_spanned(&sig, "only async functions can be boxed"));
    }
    name_lifetimes(&mut sig);
    let output = match &sig.output {
        ReturnType::Default => quote!(()),
        ReturnType::Type(_, output) => quote!(#output),
    };
    sig.output = parse_quote! {
        -> ::std::pin::Pin<::std::boxed::Box<dyn ::std::future::Future<Output = #output> + ::std::marker::Send + 'fut>>
    };
    let body = quote!(::std::boxed::Box::pin(async move #block));
    let Some(inner) = converted(&sig) else {
        return Ok(quote!(#(#attrs)* #vis #sig { #body }));
    };
    let name = &inner.ident;
    let arguments = arguments(&mut sig)?;
    // A function within a function knows no `Self`.
    Ok(if mentions_self(quote!(#sig #block)) {
        quote! {
            #(#attrs)*
            #vis #sig { Self::#name(#(#arguments),*) }
            #inner { #body }
        }
    } else {
        quote! {
            #(#attrs)*
            #vis #sig {
                #inner { #body }
                #name(#(#arguments),*)
            }
        }
    })
}

fn mentions_self(tokens: proc_macro2::TokenStream) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Ident(ident) => ident == "self" || ident == "Self",
        TokenTree::Group(group) => mentions_self(group.stream()),
        _ => false,
    })
}

/// Gives names to the lifetimes that are left out, and has all outlive the future's.
fn name_lifetimes(sig: &mut Signature) {
    let mut names = Names::default();
    let mut of_self = None;
    for input in &mut sig.inputs {
        match input {
            FnArg::Receiver(receiver) => {
                // `&self` has its lifetime in two places.
                if let Some((_, lifetime)) = &mut receiver.reference {
                    let lifetime = lifetime.get_or_insert_with(|| names.make());
                    if let Type::Reference(reference) = &mut *receiver.ty {
                        reference.lifetime = Some(lifetime.clone());
                    }
                }
                names.visit_type_mut(&mut receiver.ty);
                if let Type::Reference(reference) = &*receiver.ty {
                    of_self.clone_from(&reference.lifetime);
                }
            }
            FnArg::Typed(typed) => names.visit_type_mut(&mut typed.ty),
        }
    }
    if let ReturnType::Type(_, output) = &mut sig.output {
        let only = (names.made.len() == 1).then(|| names.made[0].clone());
        let mut names = Names {
            one: Some(of_self.or(only).unwrap_or_else(future_lifetime)),
            ..Names::default()
        };
        names.visit_type_mut(output);
    }
    for parameter in &mut sig.generics.params {
        match parameter {
            GenericParam::Lifetime(lifetime) => lifetime.bounds.push(future_lifetime()),
            GenericParam::Type(ty) => ty.bounds.push(TypeParamBound::Lifetime(future_lifetime())),
            GenericParam::Const(_) => {}
        }
    }
    for name in names.made.into_iter().rev() {
        sig.generics.params.insert(0, parse_quote!(#name: 'fut));
    }
    sig.generics.params.insert(0, parse_quote!('fut));
}

/// The signature of the function within, if parameters have to be converted first.
fn converted(sig: &Signature) -> Option<Signature> {
    let mut inner = sig.clone();
    inner.ident = format_ident!("{}_boxed", sig.ident);
    let mut any = false;
    for input in &mut inner.inputs {
        if let FnArg::Typed(typed) = input
            && let Some(target) = into_target(&typed.ty)
        {
            *typed.ty = target;
            any = true;
        }
    }
    any.then_some(inner)
}

/// `X` of `impl Into<X>`.
fn into_target(ty: &Type) -> Option<Type> {
    let Type::ImplTrait(bounds) = ty else { return None };
    let TypeParamBound::Trait(bound) = bounds.bounds.first()? else {
        return None;
    };
    let segment = bound
        .path
        .segments
        .last()
        .filter(|segment| segment.ident == "Into")?;
    let PathArguments::AngleBracketed(arguments) = &segment.arguments else {
        return None;
    };
    match arguments.args.first()? {
        GenericArgument::Type(target) => Some(target.clone()),
        _ => None,
    }
}

/// What the outer function gives to the inner one; only that one may change its parameters.
fn arguments(sig: &mut Signature) -> syn::Result<Vec<proc_macro2::TokenStream>> {
    let argument = |input: &mut FnArg| {
        let FnArg::Typed(typed) = input else {
            return Ok(quote!(self));
        };
        let name = name_of(&mut typed.pat)?;
        Ok(match into_target(&typed.ty) {
            Some(_) => quote!(::std::convert::Into::into(#name)),
            None => quote!(#name),
        })
    };
    sig.inputs.iter_mut().map(argument).collect()
}

fn name_of(pattern: &mut Pat) -> syn::Result<&Ident> {
    match pattern {
        Pat::Ident(pattern) => {
            pattern.mutability = None;
            Ok(&pattern.ident)
        }
        _ => Err(Error::new_spanned(
            pattern,
            "a parameter that is converted needs others with plain names",
        )),
    }
}

fn future_lifetime() -> Lifetime {
    Lifetime::new("'fut", proc_macro2::Span::call_site())
}

/// Names the lifetimes of references and `'_`.
#[derive(Default)]
struct Names {
    made: Vec<Lifetime>,
    /// The one name for all.
    one: Option<Lifetime>,
}

impl Names {
    fn make(&mut self) -> Lifetime {
        if let Some(one) = &self.one {
            return one.clone();
        }
        let name = Lifetime::new(
            &format!("'arg{}", self.made.len()),
            proc_macro2::Span::call_site(),
        );
        self.made.push(name.clone());
        name
    }
}

impl VisitMut for Names {
    fn visit_type_reference_mut(&mut self, reference: &mut TypeReference) {
        if reference.lifetime.is_none() {
            reference.lifetime = Some(self.make());
        }
        visit_mut::visit_type_reference_mut(self, reference);
    }

    fn visit_lifetime_mut(&mut self, lifetime: &mut Lifetime) {
        if lifetime.ident == "_" {
            *lifetime = self.make();
        }
    }

    fn visit_type_bare_fn_mut(&mut self, _: &mut syn::TypeBareFn) {}

    fn visit_parenthesized_generic_arguments_mut(&mut self, _: &mut syn::ParenthesizedGenericArguments) {}
}
