//! The chains of documents, and their programs.

use super::{blueprint::Programs, documents::Documents};
use crate::stages::{
    program::{
        Instruction, Program,
        effective::{Document, effective},
        entities::{Api, Product},
        instruction::Described,
        run::ProductContext,
    },
    statements::document::built_in_forward,
};
use std::{collections::HashMap, sync::Arc};

/// Makes programs; equal chains share one.
pub struct ProgramBuilder<'d> {
    documents: &'d Documents,
    forward: (Instruction, Described),
    known: HashMap<Vec<String>, Arc<Program>>,
}

/// What the chain of an API consists of, apart from its operation and its product.
#[derive(Clone, Debug, Default)]
pub struct ApiChain {
    /// The document of the API, or that of its current revision.
    pub api: Vec<String>,
    /// The documents that the API names, weak to strong, in lower case.
    pub policies: Vec<String>,
    pub workspace: Option<String>,
}

impl<'d> ProgramBuilder<'d> {
    /// A builder on these documents.
    pub fn new(documents: &'d Documents) -> ProgramBuilder<'d> {
        ProgramBuilder { documents, forward: built_in_forward(), known: HashMap::new() }
    }

    /// The programs of an operation, or of an API without one, for each of its products.
    pub fn programs(
        &mut self,
        api: &Api,
        operation: Option<&str>,
        chain: &ApiChain,
        products: &[Arc<Product>],
    ) -> Programs {
        let names = |product: Option<&str>| {
            let mut names = Vec::new();
            if let Some(operation) = operation {
                let own = |id: &str| format!("apis/{}/{}", id.to_lowercase(), operation.to_lowercase());
                let candidates = [own(&api.id), own(&api.base_id)];
                names.extend(candidates.into_iter().find(|name| self.documents.all.contains_key(name)));
            }
            names.extend(chain.api.clone());
            names.extend(chain.policies.iter().rev().cloned());
            names.extend(product.map(|product| format!("products/{product}")));
            names.extend(chain.workspace.iter().map(|workspace| format!("workspaces/{workspace}")));
            names.push("global".to_owned());
            names
        };
        let plain = names(None);
        let with_products: Vec<(Arc<Product>, Vec<String>)> = products
            .iter()
            .map(|product| (product.clone(), names(Some(&product.id.to_lowercase()))))
            .collect();
        let plain = self.program(plain);
        let products = with_products.into_iter().map(|(product, names)| {
            let key = product.id.to_lowercase();
            (key, ProductContext { program: self.program(names), product })
        });
        Programs { plain, products: products.collect() }
    }

    /// The program of documents, the narrowest first; those that do not exist are passed over.
    pub fn program(&mut self, mut names: Vec<String>) -> Arc<Program> {
        names.retain(|name| self.documents.all.contains_key(name));
        if let Some(program) = self.known.get(&names) {
            return program.clone();
        }
        let chain: Vec<&Document> =
            names.iter().filter_map(|name| Some(&self.documents.all.get(name)?.document)).collect();
        let program = Arc::new(effective(&chain, &self.forward));
        self.known.insert(names, program.clone());
        program
    }
}
