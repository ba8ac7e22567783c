// Who may do what: the app's identity on hub, storage, vault and telemetry; optionally two people on what they write.
// Ids of built-in roles: learn.microsoft.com/azure/role-based-access-control/built-in-roles

@description('Object id of the function app\'s identity.')
param appPrincipalId string

@description('Name of the Event Hubs namespace.')
param namespaceName string

@description('Name of the hub.')
param hubName string

@description('Name of the storage account.')
param storageAccountName string

@description('Container of the policy.')
param policyContainer string

@description('Name of the Key Vault.')
param vaultName string

@description('Name of the Application Insights component.')
param componentName string

// An object id, as the name ends to say.
@description('Object id of the user or group that writes the secrets; empty: nobody.')
#disable-next-line secure-secrets-in-params
param secretsOfficerObjectId string

@description('Object id of the user or group that uploads the policy; empty: nobody.')
param policyAuthorObjectId string

var roleType = 'Microsoft.Authorization/roleDefinitions'

var roles = {
  eventHubsDataReceiver: 'a638d3c7-ab3a-418d-83e6-5f17a39d4fde'
  keyVaultSecretsOfficer: 'b86a8fe4-44ce-4948-aee5-eccb2c155cd7'
  keyVaultSecretsUser: '4633458b-17de-408a-b874-0445c86b69e6'
  monitoringMetricsPublisher: '3913510d-42f4-4e42-8a64-420c390055eb'
  storageBlobDataContributor: 'ba92f5b4-2d11-453d-a403-e96b0029c9fe'
  storageBlobDataOwner: 'b7e6dc6d-f1e8-4753-8033-0f276bb0955b'
  storageQueueDataContributor: '974c5e8b-45b9-4653-ba55-5f855dd0fb88'
  storageTableDataContributor: '0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3'
}

// What the Functions host wants of its account, and why
// (learn.microsoft.com/azure/azure-functions/functions-reference#connecting-to-host-storage-with-an-identity).
var storageRoles = [
  {
    id: roles.storageBlobDataOwner
    // On the account, because the host makes containers of its own.
    why: 'Package, checkpoints, timer locks, function keys, policy, state and kept alerts.'
  }
  {
    id: roles.storageQueueDataContributor
    why: 'Puts alerts into the queues, takes them out, and counts them to scale.'
  }
  {
    id: roles.storageTableDataContributor
    why: 'The host writes its diagnostic events to a table whose name changes by the month.'
  }
]

resource account 'Microsoft.Storage/storageAccounts@2025-06-01' existing = {
  name: storageAccountName

  resource blobs 'blobServices' existing = {
    name: 'default'

    resource policies 'containers' existing = {
      name: policyContainer
    }
  }
}

resource namespace 'Microsoft.EventHub/namespaces@2024-01-01' existing = {
  name: namespaceName

  resource hub 'eventhubs' existing = {
    name: hubName
  }
}

resource vault 'Microsoft.KeyVault/vaults@2025-05-01' existing = {
  name: vaultName
}

resource component 'Microsoft.Insights/components@2020-02-02' existing = {
  name: componentName
}

resource onStorage 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for role in storageRoles: {
    name: guid(account.id, appPrincipalId, role.id)
    scope: account
    properties: {
      roleDefinitionId: subscriptionResourceId(roleType, role.id)
      principalId: appPrincipalId
      principalType: 'ServicePrincipal'
      description: role.why
    }
  }
]

// The hub and not its consumer group: the trigger does not work with an assignment there
// (Azure/azure-functions-eventhubs-extension, "Currently, eventhub triggers require the role to be granted on eventhub
// level, not only on consumer group"). Receiving only: the app sends nothing to it.
resource onHub 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(namespace::hub.id, appPrincipalId, roles.eventHubsDataReceiver)
  scope: namespace::hub
  properties: {
    roleDefinitionId: subscriptionResourceId(roleType, roles.eventHubsDataReceiver)
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
    description: 'Reads the sign-in logs.'
  }
}

// Reading values, neither listing keys nor changing anything; all secrets of this vault are spwatch's.
resource onVault 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(vault.id, appPrincipalId, roles.keyVaultSecretsUser)
  scope: vault
  properties: {
    roleDefinitionId: subscriptionResourceId(roleType, roles.keyVaultSecretsUser)
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
    description: 'The platform reads the secrets that app settings refer to.'
  }
}

// Without it no log line arrives, since keys are off there too.
resource onTelemetry 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(component.id, appPrincipalId, roles.monitoringMetricsPublisher)
  scope: component
  properties: {
    roleDefinitionId: subscriptionResourceId(roleType, roles.monitoringMetricsPublisher)
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
    description: 'The host sends logs and metrics.'
  }
}

// No principalType for people: the id may be a user's or a group's, and both are there already.
resource secretsOfficer 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (!empty(secretsOfficerObjectId)) {
  name: guid(vault.id, secretsOfficerObjectId, roles.keyVaultSecretsOfficer)
  scope: vault
  properties: {
    roleDefinitionId: subscriptionResourceId(roleType, roles.keyVaultSecretsOfficer)
    principalId: secretsOfficerObjectId
    description: 'Writes the secrets of sinks.'
  }
}

resource policyAuthor 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (!empty(policyAuthorObjectId)) {
  name: guid(account::blobs::policies.id, policyAuthorObjectId, roles.storageBlobDataContributor)
  scope: account::blobs::policies
  properties: {
    roleDefinitionId: subscriptionResourceId(roleType, roles.storageBlobDataContributor)
    principalId: policyAuthorObjectId
    description: 'Uploads policy.toml.'
  }
}
